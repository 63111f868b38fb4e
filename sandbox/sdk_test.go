package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwks"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/clerk/clerk-sdk-go/v2/user"
	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
	stripeclient "github.com/stripe/stripe-go/v76/client"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/openai"
)

func stringReader(s string) io.Reader { return strings.NewReader(s) }

// TestEnvironmentServesTheSDKs builds each SDK's client from the settings that the sandbox gives, as Trivet does.
func TestEnvironmentServesTheSDKs(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	env := s.Environment()
	for name, value := range env {
		env[name] = strings.Replace(value, "/clerk/v1", base+"/clerk/v1", 1)
	}
	env["OPENAI_BASE_URL"], env["STRIPE_API_URL"] = base+"/openai/v1", base+"/stripe"

	t.Run("clerk", func(t *testing.T) {
		config := &clerksdk.ClientConfig{}
		config.URL, config.Key = clerksdk.String(env["CLERK_API_URL"]), clerksdk.String(env["CLERK_SECRET_KEY"])
		token, err := s.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: "alice", Org: "acme", Permissions: []string{"org:chat:read", "org:chat:write"}})
		require.NoError(t, err)
		claims, err := jwt.Verify(t.Context(), &jwt.VerifyParams{Token: token, JWKSClient: jwks.NewClient(config)})
		require.NoError(t, err)
		require.Equal(t, "alice", claims.Subject)
		require.Equal(t, env["CLERK_ISSUER"], claims.Issuer)
		require.Equal(t, "acme", claims.ActiveOrganizationID)
		require.Equal(t, "org:admin", claims.ActiveOrganizationRole)
		require.Equal(t, []string{"org:chat:read", "org:chat:write"}, claims.ActiveOrganizationPermissions)

		u, err := user.NewClient(config).Get(t.Context(), "alice")
		require.NoError(t, err)
		require.Equal(t, "alice@example.test", u.EmailAddresses[0].EmailAddress)
	})

	t.Run("openai", func(t *testing.T) {
		config := goopenai.DefaultConfig(env["OPENAI_API_KEY"])
		config.BaseURL = env["OPENAI_BASE_URL"]
		client := goopenai.NewClientWithConfig(config)
		stream, err := client.CreateChatCompletionStream(t.Context(), goopenai.ChatCompletionRequest{
			Model: "gpt-4o-mini", Messages: []goopenai.ChatCompletionMessage{{Role: "user", Content: "hello there"}},
			StreamOptions: &goopenai.StreamOptions{IncludeUsage: true},
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, stream.Close()) }()
		var text strings.Builder
		var usage *goopenai.Usage
		for {
			chunk, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if chunk.Usage != nil {
				usage = chunk.Usage
			}
			for _, c := range chunk.Choices {
				text.WriteString(c.Delta.Content)
			}
		}
		require.Contains(t, text.String(), "You said hello there and")
		require.NotNil(t, usage)
		require.Equal(t, openai.CountTokens(text.String()), usage.CompletionTokens)
		require.Equal(t, 9, usage.PromptTokens)
	})

	t.Run("stripe", func(t *testing.T) {
		client := stripeClient(env["STRIPE_API_URL"], 0)
		created, err := client.Customers.New(&stripesdk.CustomerParams{Email: stripesdk.String("a@example.test"), Name: stripesdk.String("Ada")})
		require.NoError(t, err)
		got, err := client.Customers.Get(created.ID, nil)
		require.NoError(t, err)
		require.Equal(t, "Ada", got.Name)
	})
}

func stripeClient(url string, retries int64) *stripeclient.API {
	return stripeclient.New(sandbox.StripeSecretKey, stripesdk.NewBackendsWithConfig(&stripesdk.BackendConfig{
		URL: stripesdk.String(url), MaxNetworkRetries: stripesdk.Int64(retries), EnableTelemetry: stripesdk.Bool(false),
		LeveledLogger: &stripesdk.LeveledLogger{Level: stripesdk.LevelNull}, HTTPClient: http.DefaultClient,
	}))
}

func TestTokenByControl(t *testing.T) {
	_, base := serve(t, sandbox.Config{})
	status, body := fetch(t, "POST", base+"/control/clerk/tokens", `{"user":"alice","org":"acme","role":"admin","ttl":"1h"}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `{"token":"eyJ`)

	for name, test := range map[string]struct{ body, want string }{
		"no body":        {``, "empty"},
		"no user":        {`{}`, "user must be included."},
		"unknown field":  {`{"user":"a","usr":"b"}`, `unknown field \"usr\"`},
		"control char":   {`{"user":"a\nb"}`, "without control characters"},
		"bad ttl":        {`{"user":"a","ttl":"soon"}`, "positive duration"},
		"role, no org":   {`{"user":"a","role":"admin"}`, "needs an org"},
		"bad role":       {`{"user":"a","org":"o","role":"Big Boss"}`, "lower-case"},
		"two objects":    {`{"user":"a"}{}`, "data after the JSON object"},
		"wrong type":     {`{"user":1}`, "user"},
		"not an address": {`{"user":"a","email":"x"}`, "valid email"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := fetch(t, "POST", base+"/control/clerk/tokens", test.body)
			require.Equal(t, http.StatusBadRequest, status, body)
			require.Contains(t, body, test.want)
			require.True(t, strings.HasPrefix(body, `{"error":"`), fmt.Sprint(body))
		})
	}
}
