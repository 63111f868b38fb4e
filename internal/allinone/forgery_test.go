package allinone

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/internal/docgen"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// forger reaches an installation as a stranger does: with nothing but what it sends.
type forger struct {
	*mint
	system  *system
	network *grpc.ClientConn
	edge    string
	keys    apiKeys
	log     screen
}

// newForger builds the all-in-one with a clock that stands still, so that no credential expires while the suite runs. More settings
// replace the usual ones.
func newForger(t *testing.T, more map[string]string) *forger {
	t.Helper()
	m := newMint(t, time.Date(2027, 1, 15, 8, 0, 30, 0, time.UTC))
	env := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "CLERK_SECRET_KEY": "sk_test_x", "CLERK_ISSUER": clerkIssuer, "CLERK_JWT_KEY": m.clerkPEM(),
		"CLERK_API_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1", "LOG_LEVEL": "error",
		"TRIVET_OPERATORS": "user_operator", "CLERK_WEBHOOK_SECRET": "whsec_bXkgb3duIHNlY3JldCBoZXJl", "STRIPE_WEBHOOK_SECRET": "whsec_myownsecret",
		"TRIVET_STREAM_KEEPALIVE": "1s", // a stream without messages shows its status with the first of them; a refusal must come before
	}
	maps.Copy(env, more)
	f := &forger{mint: m}
	c, err := load(settings.Env{Get: withDatabase(func(name string) string { return env[name] })}, nil)
	require.NoError(t, err)
	host, err := c.host(&f.log)
	require.NoError(t, err)
	host.Now = m.clock
	f.system, err = buildWith(t.Context(), c, host, gateway.Development{}, m.secret)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.system.close(context.Background())) })
	require.NoError(t, f.system.migrate(t.Context()))
	f.listen(t)
	f.makeKeys(t)
	return f
}

// listen opens the gRPC port and the edge.
func (f *forger) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.system.server.Serve(ctx, listener, 30*time.Second) }()
	f.network, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	edge := httptest.NewServer(f.system.gateway.Handler())
	f.edge = edge.URL
	t.Cleanup(func() {
		edge.Close()
		require.NoError(t, f.network.Close())
		stop()
		require.NoError(t, <-served)
		require.NoError(t, f.system.server.Drain(context.Background()))
	})
}

func (f *forger) makeKeys(t *testing.T) {
	t.Helper()
	client := authv1.NewAuthServiceClient(f.system.conns["gateway"])
	create := func(c passport.Claims, scopes []string) *authv1.CreateApiKeyResponse {
		made, err := client.CreateApiKey(passport.Outgoing(t.Context(), f.passport(c, "auth")), &authv1.CreateApiKeyRequest{Name: "forgery", Scopes: scopes})
		require.NoError(t, err)
		return made
	}
	f.keys = apiKeys{
		whole: create(person, scopes).GetSecret(), least: create(person, []string{"billing.write"}).GetSecret(),
		operators: create(operator, scopes).GetSecret(), lacking: map[string]string{},
	}
	for _, scope := range scopes {
		others := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == scope })
		f.keys.lacking[scope] = create(person, others).GetSecret()
	}
	gone := create(person, scopes)
	f.keys.revoked = gone.GetSecret()
	_, err := client.DeleteApiKey(passport.Outgoing(t.Context(), f.passport(person, "auth")), &authv1.DeleteApiKeyRequest{ApiKeyId: gone.GetApiKey().GetId()})
	require.NoError(t, err)
}

// rpc is one RPC of the contract.
type rpc struct {
	full, service string
	rule          *accessv1.Rule
	method        protoreflect.MethodDescriptor
}

// rpcs lists every RPC of every service that the contract has, whether or not the suite has heard of it.
func rpcs() []rpc {
	var all []rpc
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if !strings.HasPrefix(string(service.FullName()), "trivet.") {
				continue
			}
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				all = append(all, rpc{
					full: "/" + string(service.FullName()) + "/" + string(method.Name()), service: string(file.Package().Parent().Name()),
					rule: grpcserver.RuleOf(string(service.FullName()), string(method.Name())), method: method,
				})
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b rpc) int { return strings.Compare(a.full, b.full) })
	return all
}

// call sends an empty request with some metadata. The error of a stream that the server accepts is nil.
func (r rpc) call(t *testing.T, conn grpc.ClientConnInterface, md metadata.MD) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), md), time.Minute)
	defer cancel()
	request, answer := emptyMessage(t, r.method.Input()), emptyMessage(t, r.method.Output())
	if !r.method.IsStreamingServer() {
		return conn.Invoke(ctx, r.full, request, answer)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: r.method.IsStreamingClient()}, r.full)
	require.NoError(t, err)
	_ = stream.SendMsg(request) // a refused stream is over already; RecvMsg says why
	_ = stream.CloseSend()
	if header, err := stream.Header(); err == nil && len(header[peer.AcceptedHeader]) > 0 {
		return nil
	}
	return stream.RecvMsg(answer)
}

func emptyMessage(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	require.NoError(t, err)
	return kind.New().Interface()
}

// reasonOfRefusal is accepted for every error that a handler or the validation gave.
func reasonOfRefusal(err error) errorsv1.ErrorReason {
	reason := errs.ReasonOf(err)
	switch {
	case err == nil:
		return accepted
	case reason == unauthorized, reason == invalidToken, reason == denied, passport.IsClockError(err):
		return reason
	case status.Code(err) == codes.Unauthenticated, status.Code(err) == codes.PermissionDenied:
		return reason
	default:
		return accepted
	}
}

// stricter lists the RPCs whose handlers refuse callers that the rule lets in, with the beginnings of what they say.
var stricter = map[string][]string{
	"ListMemberships": {"Only an admin of an organization may list", "An API key may not list memberships."},
	"ReceiveWebhook":  {"Invalid webhook signature"},
	"TakeOverApiKey":  {"Only a signed-in person can take over an API key"},
	"UpdateApiKey":    {"An impersonated session cannot change API keys"},
}

// ownRefusal reports whether a handler refused a call that the rule accepts.
func ownRefusal(full string, want errorsv1.ErrorReason, err error) bool {
	return want == accepted && slices.ContainsFunc(stricter[full[strings.LastIndexByte(full, '/')+1:]], func(begin string) bool {
		return strings.HasPrefix(errs.From(err).Message, begin)
	})
}

// Every RPC of the contract meets every kind of credential, over the network and in-process, and answers as its rule says.
func TestForgeries(t *testing.T) {
	f := newForger(t, nil)
	bearers := f.bearers(f.keys)
	all, kinds := rpcs(), f.kinds(bearers)
	require.Greater(t, len(all), 60)
	var wrong []string
	calls := newTally("RPCs for", "RPCs", "kinds of credential", "calls")
	for _, r := range all {
		calls.member(r.rule.GetCaller().String())
		for _, k := range kinds {
			want, err := k.proves.want(r.rule)
			require.NoError(t, err, r.full)
			calls.count(r.rule.GetCaller().String(), want)
			for way, conn := range map[string]grpc.ClientConnInterface{"network": f.network, "in-process": f.system.server.InProcess()} {
				if way == "in-process" && (r.method.IsStreamingClient() || want == accepted && r.method.IsStreamingServer()) {
					continue // it has no streams of requests, no header that tells of the acceptance, and a watch may never send a message
				}
				if err := r.call(t, conn, k.send(r)); reasonOfRefusal(err) != want && !ownRefusal(r.full, want, err) {
					wrong = append(wrong, fmt.Sprintf("%s, %s, %s: want %s, got %v", r.full, way, k.name, want, err))
				}
			}
		}
	}
	routes := restRoutes(t)
	requests := newTally("REST routes for", "routes", "kinds of credential", "requests")
	sent := f.httpKinds(bearers)
	for _, route := range routes {
		requests.member(route.name())
		for _, k := range sent {
			want, err := k.want(route)
			require.NoError(t, err, route.pattern)
			requests.count(route.name(), want)
			if got, body := route.send(t, f.edge, k); refusedStatus(got) != statusOf(want) && !route.ownRefusal(want, body) {
				wrong = append(wrong, fmt.Sprintf("%s %s, %s: want %s, got %d %s", route.method, route.pattern, k.name, want, got, body))
			}
		}
	}
	require.Empty(t, wrong, "%s", strings.Join(wrong, "\n"))
	table := calls.table(len(kinds)) + "\n" + requests.table(len(sent))
	t.Log("\n" + table)
	writeDocs(t, filepath.Join("..", "..", "docs", "security.md"), "forgeries", table)
}

func writeDocs(t *testing.T, page, name, table string) {
	t.Helper()
	committed, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := docgen.Replace(string(committed), name, table)
	require.NoError(t, err)
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(committed), "run `make docs` and commit")
}

// tally counts what was sent and how it was answered, by the callers that a rule is for.
type tally struct {
	heads   []string
	members map[string]int
	answers map[string]map[errorsv1.ErrorReason]int
}

func newTally(heads ...string) *tally {
	return &tally{heads: heads, members: map[string]int{}, answers: map[string]map[errorsv1.ErrorReason]int{}}
}

func (c *tally) member(caller string) { c.members[caller]++ }

func (c *tally) count(caller string, answer errorsv1.ErrorReason) {
	for _, row := range []string{caller, "all"} {
		if c.answers[row] == nil {
			c.answers[row] = map[errorsv1.ErrorReason]int{}
		}
		c.answers[row][answer]++
	}
}

// rows is the order of the table.
var rows = []string{"public", "user", "admin", "operator", "internal", "signed webhooks", "all"}

func (c *tally) table(kinds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | accepted | `UNAUTHORIZED` | `INVALID_TOKEN` | `PERMISSION_DENIED` | other refusals |\n|---|---|---|---|---|---|---|---|---|\n", strings.Join(c.heads, " | "))
	total := 0
	for _, n := range c.members {
		total += n
	}
	for _, row := range rows {
		name := row
		if _, ok := c.members[row]; !ok {
			name = "CALLER_" + strings.ToUpper(row)
		}
		n, answers := c.members[name], c.answers[name]
		if row == "all" {
			n, answers = total, c.answers["all"]
		}
		if n == 0 {
			continue
		}
		sum := n * kinds
		other := sum - answers[accepted] - answers[unauthorized] - answers[invalidToken] - answers[denied]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", row, n, kinds, sum, answers[accepted], answers[unauthorized], answers[invalidToken], answers[denied], other)
	}
	return b.String()
}

// restRoute is one method on one path of the OpenAPI document.
type restRoute struct {
	method, pattern, operation string
	rule                       *accessv1.Rule
	signed                     bool
}

func (r restRoute) name() string {
	if r.signed {
		return "signed webhooks"
	}
	return r.rule.GetCaller().String()
}

func restRoutes(t *testing.T) []restRoute {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Operation string   `json:"operationId"`
			Access    string   `json:"x-access"`
			Scopes    []string `json:"x-scopes"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(gen.OpenAPI(), &document))
	var all []restRoute
	for pattern, methods := range document.Paths {
		for method, operation := range methods {
			caller, ok := accessv1.Caller_value["CALLER_"+strings.ToUpper(operation.Access)]
			require.True(t, ok, "%s %s has the access %q", method, pattern, operation.Access)
			all = append(all, restRoute{
				method: strings.ToUpper(method), pattern: pattern, operation: operation.Operation, signed: strings.HasPrefix(pattern, "/api/webhooks/"),
				rule: &accessv1.Rule{Caller: accessv1.Caller(caller), Scopes: operation.Scopes},
			})
		}
	}
	require.Greater(t, len(all), 60)
	slices.SortFunc(all, func(a, b restRoute) int { return strings.Compare(a.pattern+a.method, b.pattern+b.method) })
	return all
}

// httpKind is one kind of credential as a request to the edge carries it.
type httpKind struct {
	name   string
	edit   func(*http.Request, *accessv1.Rule)
	proves standing
	inURL  bool
}

// want adds to the rules what only the edge knows: signed webhooks and credentials in the URL.
func (k httpKind) want(r restRoute) (errorsv1.ErrorReason, error) {
	if r.signed {
		return errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, nil
	}
	if k.inURL && r.rule.GetCaller() != accessv1.Caller_CALLER_PUBLIC {
		return errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, nil
	}
	return k.proves.want(r.rule)
}

func (f *forger) httpKinds(bearers []credential) []httpKind {
	var all []httpKind
	for _, b := range bearers {
		all = append(all, httpKind{b.name, func(r *http.Request, rule *accessv1.Rule) { r.Header.Set("Authorization", "Bearer "+b.token(rule)) }, b.proves, false})
	}
	session, passports, proof := f.session("user_operator", nil), f.passport(operator, "auth"), f.proof("gateway", f.secret.internal, f.now)
	header := func(name string, s standing, pairs ...string) {
		all = append(all, httpKind{name, func(r *http.Request, _ *accessv1.Rule) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Add(pairs[i], pairs[i+1])
			}
		}, s, false})
	}
	header("nothing", standing{})
	header("without a scheme", standing{refused: invalidToken}, "Authorization", session)
	header("another scheme", standing{refused: invalidToken}, "Authorization", "Basic "+session)
	header("nothing after the scheme", standing{refused: invalidToken}, "Authorization", "Bearer")
	header("two", standing{refused: invalidToken}, "Authorization", "Bearer "+session, "Authorization", "Bearer "+session)
	header("two in one", standing{refused: invalidToken}, "Authorization", "Bearer "+session+", Bearer "+session)
	header("a cookie", standing{}, "Cookie", "__session="+session)
	header("another header", standing{}, "X-Api-Key", session, "X-User-Id", "user_operator", "Proxy-Authorization", "Bearer "+session)
	header("a passport in its header", standing{}, "Trivet-Passport", passports, "Grpc-Metadata-Trivet-Passport", passports)
	header("a proof in its header", standing{}, "Trivet-Peer", proof, "Grpc-Metadata-Trivet-Peer", proof)
	header("a session for the services only", standing{}, "Grpc-Metadata-Authorization", "Bearer "+session)
	header("a passport beside a person's session", standing{known: true, admin: true}, "Authorization", "Bearer "+f.session("user_person", nil),
		"Trivet-Passport", passports, "Grpc-Metadata-Trivet-Passport", passports)
	for _, name := range []string{"token", "access_token", "api_key"} {
		all = append(all, httpKind{"in the URL as " + name, func(r *http.Request, _ *accessv1.Rule) { r.URL.RawQuery = name + "=" + session }, standing{}, true})
	}
	return all
}

// ownRefusal is ownRefusal of the RPC behind the route.
func (r restRoute) ownRefusal(want errorsv1.ErrorReason, body string) bool {
	return want == accepted && slices.ContainsFunc(stricter[strings.ToUpper(r.operation[:1])+r.operation[1:]], func(begin string) bool {
		return strings.Contains(body, `"error":"`+begin)
	})
}

var pathParameter = regexp.MustCompile(`\{[^}]+\}`)

// send returns the status, and the body of an error. It does not wait for the end of a stream.
func (r restRoute) send(t *testing.T, edge string, k httpKind) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var body io.Reader = http.NoBody
	if r.method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	request, err := http.NewRequestWithContext(ctx, r.method, edge+pathParameter.ReplaceAllString(r.pattern, "x"), body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	k.edit(request, r.rule)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < http.StatusBadRequest {
		return response.StatusCode, ""
	}
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// statusOf is the status of a refusal, and 0 for none.
func statusOf(reason errorsv1.ErrorReason) int {
	if reason == accepted || reason == errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
		return 0 // handlers answer with it, too; see TestCredentials of the edge
	}
	return errs.MappingOf(reason).HTTP
}

// refusedStatus is 0 for a request that reached its handler.
func refusedStatus(status int) int {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return status
	}
	return 0
}
