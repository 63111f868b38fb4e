package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// under makes a POST with an idempotency key.
func (in *installation) under(key, path, token, body string) answer {
	in.t.Helper()
	request, err := http.NewRequestWithContext(in.t.Context(), http.MethodPost, in.edge+path, strings.NewReader(body))
	require.NoError(in.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(in.t, err)
	return answer{status: response.StatusCode, header: response.Header, body: text}
}

// problem is what both error bodies say.
type problem struct {
	Code    string
	Details []struct{ Metadata map[string]string }
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var api struct {
		problem
		Error json.RawMessage
	}
	require.NoError(t, json.Unmarshal(a.body, &api), "%s", a.body)
	if api.Code == "" {
		require.NoError(t, json.Unmarshal(api.Error, &api.problem), "%s", a.body)
	}
	api.Code = strings.ToUpper(api.Code)
	return api.problem
}

// A repetition of a call that costs money is neither made nor billed, whichever way it comes, and its first answer is not shown again.
func TestARepeatedCallIsBilledOnce(t *testing.T) {
	const messages = `"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}]`
	inEachMode(t, func(t *testing.T, in *installation) {
		for _, c := range []struct{ path, body, other string }{
			{"/v1/chat/completions", `{` + messages + `}`, `{` + messages + `, "n": 2}`},
			{"/v1/chat/completions", `{"stream": true, ` + messages + `}`, `{` + messages + `}`},
			{"/v1/responses", `{"model": "gpt-4o-mini", "input": "Say hello"}`, `{"model": "gpt-4o-mini", "input": "Say more"}`},
			{"/v1/responses", `{"model": "gpt-4o-mini", "stream": true, "input": "Say hello"}`, `{"model": "gpt-4o-mini", "input": "Say hello"}`},
			{"/v1/completions", `{"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"}`, `{"model": "gpt-3.5-turbo-instruct", "prompt": "Say"}`},
			{"/v1/embeddings", `{"model": "text-embedding-3-small", "input": "hello"}`, `{"model": "text-embedding-3-small", "input": "x"}`},
			{"/api/v1/chat", `{` + messages + `}`, `{` + messages + `, "maxTokens": 7}`},
			{"/api/v1/chat:stream", `{` + messages + `}`, `{` + messages + `, "seed": 7}`},
			{"/api/v1/embeddings", `{"model": "text-embedding-3-small", "input": ["hello"]}`, `{"model": "text-embedding-3-small", "input": ["x"]}`},
		} {
			alice := in.token("user_alice", nil)
			key := "key-of " + c.path
			require.Equal(t, http.StatusBadRequest, in.under(key, c.path, alice, c.body).status, "a space")
			key = fmt.Sprintf("key:%s:%d", c.path, len(c.body))
			before := in.account(alice)
			first := in.under(key, c.path, alice, c.body)
			require.Equal(t, http.StatusOK, first.status, "%s: %s", c.path, first.body)
			after := in.account(alice)
			require.Less(t, after.Balance, before.Balance, c.path)

			again := in.under(key, c.path, alice, c.body)
			require.Equal(t, http.StatusConflict, again.status, "%s: %s", c.path, again.body)
			require.Equal(t, "false", again.header.Get("X-Should-Retry"))
			p := again.problem(t)
			require.Equal(t, "ALREADY_COMPLETED", p.Code)
			require.NotContains(t, string(again.body), "hello")
			if strings.HasPrefix(c.path, "/api") {
				facts := p.Details[0].Metadata
				require.Equal(t, fmt.Sprint(before.Balance-after.Balance), facts["cost_nano_usd"])
				var logged struct{ Request loggedRequest }
				in.get("/api/v1/requests/"+facts["request_id"], alice, &logged)
				require.Equal(t, facts["cost_nano_usd"], logged.Request.CostNanoUsd)
			}
			other := in.under(key, c.path, alice, c.other)
			require.Equal(t, http.StatusUnprocessableEntity, other.status, "%s: %s", c.path, other.body)
			require.Equal(t, "IDEMPOTENCY_KEY_REUSED", other.problem(t).Code)
			require.Equal(t, after, in.account(alice), "%s: nothing else is billed or held", c.path)
			require.Equal(t, http.StatusOK, in.under(key, c.path, in.token("user_bob", nil), c.body).status, "another caller's key")
			require.Equal(t, http.StatusOK, in.under(key+"2", c.path, alice, c.body).status, "another key")
		}
	})
}

// Of many at once one is made; the others learn that it runs, or that it is over.
func TestTwinsAreBilledOnce(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		alice := in.token("user_alice", nil)
		before := in.upstream()
		const twins = 12
		answers := make([]answer, twins)
		var all sync.WaitGroup
		for n := range twins {
			all.Go(func() {
				answers[n] = in.under("twins", "/v1/chat/completions", alice, `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}`)
			})
		}
		all.Wait()
		made := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				made++
				continue
			}
			require.Equal(t, http.StatusConflict, a.status, "%s", a.body)
			if code := a.problem(t).Code; code != "ALREADY_COMPLETED" {
				require.Equal(t, "REQUEST_IN_PROGRESS", code)
				require.NotEmpty(t, a.header.Get("Retry-After"))
			}
		}
		require.Equal(t, 1, made)
		require.Equal(t, before.Calls+1, in.upstream().Calls)
	})
}

// A repeated creation of an API key makes no second key, and never shows the secret again.
func TestARepeatedCreationMakesOneAPIKey(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		alice := in.token("user_alice", nil)
		first := in.under("once", "/api/v1/apiKeys", alice, `{"name": "one", "scopes": ["ai.invoke"]}`)
		require.Equal(t, http.StatusOK, first.status, "%s", first.body)
		var made struct {
			APIKey struct{ ID string }
			Secret string
		}
		require.NoError(t, json.Unmarshal(first.body, &made))
		again := in.under("once", "/api/v1/apiKeys", alice, `{"scopes":["ai.invoke"],"name":"one"}`)
		require.Equal(t, http.StatusConflict, again.status, "%s", again.body)
		require.Equal(t, "SECRET_ALREADY_SHOWN", again.problem(t).Code)
		require.Equal(t, map[string]string{"api_key_id": made.APIKey.ID}, again.problem(t).Details[0].Metadata)
		require.NotContains(t, string(again.body), made.Secret)
		other := in.under("once", "/api/v1/apiKeys", alice, `{"name": "two"}`)
		require.Equal(t, http.StatusUnprocessableEntity, other.status, "%s", other.body)
		require.Equal(t, http.StatusOK, in.under("once", "/api/v1/apiKeys", in.token("user_bob", nil), `{"name": "one"}`).status)
		var list struct{ APIKeys []struct{ ID string } }
		in.get("/api/v1/apiKeys", alice, &list)
		require.Len(t, list.APIKeys, 1)
	})
}

// The TypeScript client repeats a billed call whose answer was lost, and learns what it cost.
func TestTheTypeScriptClientRepeatsABilledCallSafely(t *testing.T) {
	folder := clientFolder(t)
	in := allInOne(t)
	modules := filepath.Join(t.TempDir(), "node_modules", "@trivet")
	require.NoError(t, os.MkdirAll(modules, 0o750))
	require.NoError(t, os.Symlink(folder, filepath.Join(modules, "client")))
	file := filepath.Join(filepath.Dir(filepath.Dir(modules)), "lost.mjs")
	require.NoError(t, os.WriteFile(file, []byte(`
import { Trivet, TrivetError } from '@trivet/client';
let calls = 0;
const trivet = new Trivet({
  baseUrl: process.env.TRIVET_URL,
  token: () => process.env.TRIVET_TOKEN,
  random: () => 0,
  fetch: async (...args) => {
    const response = await fetch(...args);
    await response.clone().arrayBuffer();
    if (++calls === 1) throw new TypeError('the connection was lost');
    return response;
  },
});
try {
  await trivet.chat({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] }, { idempotencyKey: 'lost' });
  console.log('answered twice');
} catch (e) {
  if (!(e instanceof TrivetError)) throw e;
  console.log(e.status, e.code, calls, JSON.stringify(e.details));
}
`), 0o600))
	alice := in.token("user_alice", nil)
	t.Setenv("TRIVET_URL", in.edge)
	t.Setenv("TRIVET_TOKEN", alice)
	before := in.account(alice)
	out := runNode(t, filepath.Dir(file), "node", file)
	require.Contains(t, out, "409 ALREADY_COMPLETED 2 ")
	require.Contains(t, out, fmt.Sprintf(`"cost_nano_usd":"%d"`, before.Balance-in.account(alice).Balance))
}
