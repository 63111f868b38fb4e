package allinone

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

const (
	accepted     = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	unauthorized = errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED
	invalidToken = errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN
	denied       = errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED
	unavailable  = errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE
)

// The people of the suite, as their passports name them.
var (
	person   = passport.Claims{UserID: "user_person", SessionID: "sess_1", AccountID: "user_person", Role: "owner"}
	member   = passport.Claims{UserID: "user_member", SessionID: "sess_2", OrganizationID: "org_1", AccountID: "org_1", Role: "member"}
	admin    = passport.Claims{UserID: "user_admin", SessionID: "sess_3", OrganizationID: "org_1", AccountID: "org_1", Role: "admin", Admin: true}
	operator = passport.Claims{UserID: "user_operator", SessionID: "sess_4", AccountID: "user_operator", Role: "owner", Operator: true}

	scopes = []string{"ai.invoke", "models.read", "billing.read", "billing.write", "keys.manage"}
)

// standing is what a credential rightly proves. Its zero value proves nothing.
type standing struct {
	known, admin, operator, key bool
	// lacking keys have every scope except those that the rule names.
	lacking bool
	// refused is the answer of rules that need an identity, where the credential gives none.
	refused errorsv1.ErrorReason
	// peer is the service that the credential proves, and noPeer the answer of internal rules where it proves none.
	peer   string
	noPeer errorsv1.ErrorReason
}

// want is the answer that the contract promises; accepted when the call reaches its handler. It fails for a rule that it does not know.
func (s standing) want(rule *accessv1.Rule) (errorsv1.ErrorReason, error) {
	switch rule.GetCaller() {
	case accessv1.Caller_CALLER_PUBLIC:
		return accepted, nil
	case accessv1.Caller_CALLER_INTERNAL:
		return s.wantPeer(rule), nil
	case accessv1.Caller_CALLER_USER:
		return s.wantPerson(rule, true), nil
	case accessv1.Caller_CALLER_ADMIN:
		return s.wantPerson(rule, s.admin), nil
	case accessv1.Caller_CALLER_OPERATOR:
		return s.wantPerson(rule, s.operator && !s.key), nil
	case accessv1.Caller_CALLER_UNSPECIFIED:
	}
	return accepted, fmt.Errorf("the suite does not know what to expect of the rule %v", rule)
}

func (s standing) wantPeer(rule *accessv1.Rule) errorsv1.ErrorReason {
	switch {
	case s.peer != "" && slices.Contains(rule.GetPeers(), s.peer):
		return accepted
	case s.noPeer != accepted:
		return s.noPeer
	default:
		return denied
	}
}

func (s standing) wantPerson(rule *accessv1.Rule, may bool) errorsv1.ErrorReason {
	switch {
	case !s.known && s.refused == accepted:
		return unauthorized
	case !s.known:
		return s.refused
	case !may, s.key && s.lacking && len(rule.GetScopes()) > 0:
		return denied
	default:
		return accepted
	}
}

// credential is one bearer credential, whatever carries it.
type credential struct {
	name   string
	token  func(rule *accessv1.Rule) string
	proves standing
}

// kind is one kind of credential as a gRPC call carries it.
type kind struct {
	name   string
	send   func(r rpc) metadata.MD
	proves standing
}

func always(token string) func(*accessv1.Rule) string {
	return func(*accessv1.Rule) string { return token }
}

// bearers lists the credentials that a caller may send as a bearer token. keys are API keys; see forger.
func (m *mint) bearers(keys apiKeys) []credential {
	var all []credential
	right := func(name, token string, s standing) {
		s.known = true
		all = append(all, credential{name, always(token), s})
	}
	wrong := func(name, token string) {
		all = append(all, credential{name, always(token), standing{refused: invalidToken}})
	}
	org := func(role string) map[string]any {
		return map[string]any{"o": map[string]any{"id": "org_1", "slg": "acme", "rol": role}}
	}
	operators := m.session("user_operator", nil)
	right("a person's session", m.session("user_person", nil), standing{admin: true})
	right("a member's session", m.session("user_member", org("member")), standing{})
	right("an admin's session", m.session("user_admin", org("admin")), standing{admin: true})
	right("an operator's session", operators, standing{admin: true, operator: true})
	right("an impersonated operator's session", m.session("user_operator", map[string]any{"act": map[string]any{"sub": "user_person"}}), standing{admin: true})
	right("an API key", keys.whole, standing{admin: true, key: true})
	right("an operator's API key", keys.operators, standing{admin: true, operator: true, key: true})
	all = append(all, credential{"an API key without the scope", keys.without, standing{known: true, admin: true, key: true, lacking: true}})

	wrong("garbage", "garbage")
	wrong("more than 8 KiB", strings.Repeat("a", 9<<10))
	wrong("a passport", m.passport(operator, "auth"))
	wrong("an internal proof", m.proof("gateway", m.secret.internal, m.now))
	wrong("the internal secret", coded(string(m.secret.internal)))
	wrong("a session, expired", m.session("user_operator", map[string]any{"exp": m.now.Add(-10 * time.Second).Unix(), "iat": m.now.Add(-time.Minute).Unix()}))
	wrong("a session of the future", m.session("user_operator", map[string]any{"iat": m.now.Add(time.Minute).Unix(), "nbf": nil, "exp": m.now.Add(2 * time.Minute).Unix()}))
	wrong("a session that is not valid yet", m.session("user_operator", map[string]any{"nbf": m.now.Add(time.Minute).Unix()}))
	wrong("a pending session", m.session("user_operator", map[string]any{"sts": "pending"}))
	wrong("a session of another instance", m.session("user_operator", map[string]any{"iss": "https://clerk.example.org"}))
	for _, claim := range []string{"iss", "sub", "sid", "iat", "exp"} {
		wrong("a session without "+claim, m.session("user_operator", map[string]any{claim: nil}))
	}
	clerkKey := func(algorithm jose.SignatureAlgorithm, key any) jose.SigningKey {
		return jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: "ins_1"}}
	}
	wrong("a session signed by another key", m.forgedSession(clerkKey(jose.RS256, m.thief), "JWT", "user_operator", nil))
	wrong("a session signed with RS512", m.forgedSession(clerkKey(jose.RS512, m.clerk), "JWT", "user_operator", nil))
	wrong("a session signed with the public key as secret", m.forgedSession(clerkKey(jose.HS256, []byte(m.clerkPEM())), "JWT", "user_operator", nil))
	wrong("a session with alg none", unsigned(operators, "ins_1"))
	wrong("a session without a signature", part(operators, 2, ""))
	wrong("a session with another's claims", part(m.session("user_person", nil), 1, claimsOf(operators)))
	wrong("an OAuth access token", m.forgedSession(clerkKey(jose.RS256, m.clerk), "at+jwt", "user_operator", nil))
	wrong("an API key, revoked", keys.revoked)
	wrong("an API key, mistyped", keys.whole[:len(keys.whole)-1]+"_")
	wrong("an API key of the other mode", strings.Replace(keys.whole, "tvt_test_", "tvt_live_", 1))
	wrong("half an API key", keys.whole[:30])
	return all
}

// kinds lists every kind of credential of a gRPC call.
func (m *mint) kinds(bearers []credential) []kind {
	var all []kind
	add := func(name string, s standing, send func(r rpc) metadata.MD) { all = append(all, kind{name, send, s}) }
	pairs := func(values ...string) func(rpc) metadata.MD {
		return func(rpc) metadata.MD { return metadata.Pairs(values...) }
	}
	for _, b := range bearers {
		if len(b.token(nil)) > 8<<10 {
			continue // of the edge; gRPC limits all headers of a call together
		}
		add("bearer: "+b.name, b.proves, func(r rpc) metadata.MD { return metadata.Pairs("authorization", "Bearer "+b.token(r.rule)) })
	}
	session, notToken := m.session("user_operator", nil), standing{refused: invalidToken}
	add("bearer: without a scheme", notToken, pairs("authorization", session))
	add("bearer: another scheme", notToken, pairs("authorization", "Basic "+session))
	add("bearer: nothing after the scheme", notToken, pairs("authorization", "Bearer "))
	add("bearer: two", notToken, pairs("authorization", "Bearer "+session, "authorization", "Bearer "+session))
	add("bearer: two in one", notToken, pairs("authorization", "Bearer "+session+", Bearer "+session))
	add("nothing", standing{}, pairs())
	add("empty values", standing{}, pairs("authorization", "", passport.Header, "", peer.Header, ""))
	add("other metadata", standing{}, func(r rpc) metadata.MD {
		good := m.passport(operator, r.service)
		return metadata.Pairs("x-user-id", "user_operator", "user", "root", "x-trivet-passport", good, "grpc-metadata-trivet-passport", good,
			"grpc-metadata-authorization", "Bearer "+session, "cookie", "__session="+session, "x-api-key", session)
	})
	return append(append(all, m.passports(session)...), m.proofs(session)...)
}

// passports lists the right and wrong passports.
func (m *mint) passports(session string) []kind {
	var all []kind
	right := func(name string, c passport.Claims, s standing) {
		s.known = true
		all = append(all, kind{"passport: " + name, func(r rpc) metadata.MD { return metadata.Pairs(passport.Header, m.passport(c, r.service)) }, s})
	}
	key := func(c passport.Claims, scopes ...string) passport.Claims {
		c.APIKeyID, c.SessionID, c.Scopes = "key_1", "", scopes
		return c
	}
	right("a person", person, standing{admin: true})
	right("a member", member, standing{})
	right("an admin", admin, standing{admin: true})
	right("an operator", operator, standing{admin: true, operator: true})
	right("an API key with every scope", key(person, scopes...), standing{admin: true, key: true})
	right("a member's API key", key(member, scopes...), standing{key: true})
	right("an operator's API key", key(operator, scopes...), standing{admin: true, operator: true, key: true})
	right("an API key without scopes", key(person), standing{admin: true, key: true, lacking: true})
	right("an API key with like scopes", key(person, "ai", "*", "ai.invoke.more", "AI.INVOKE", "", "billing.reads", "keys"), standing{admin: true, key: true, lacking: true})
	all = append(all, kind{"passport: an API key with every other scope", func(r rpc) metadata.MD {
		others := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return slices.Contains(r.rule.GetScopes(), s) })
		return metadata.Pairs(passport.Header, m.passport(key(person, others...), r.service))
	}, standing{known: true, admin: true, key: true, lacking: true}})

	wrong := func(name string, s standing, token func(r rpc) string) {
		all = append(all, kind{"passport: " + name, func(r rpc) metadata.MD { return metadata.Pairs(passport.Header, token(r)) }, s})
	}
	notToken, clocks := standing{refused: invalidToken}, standing{refused: unavailable}
	good := func(r rpc) string { return m.passport(operator, r.service) }
	forged := func(key jose.SigningKey, change func(*jwt.Claims)) func(rpc) string {
		return func(r rpc) string { return m.forgedPassport(key, operator, r.service, change) }
	}
	ours := m.passportKey()
	services := []string{"auth", "ai", "billing"}
	other := func(n int) func(rpc) string {
		return func(r rpc) string {
			return m.passport(operator, services[(slices.Index(services, r.service)+n)%len(services)])
		}
	}
	wrong("garbage", notToken, func(rpc) string { return "garbage" })
	wrong("for a second service", notToken, other(1))
	wrong("for a third service", notToken, other(2))
	wrong("for two services", notToken, forged(ours, func(c *jwt.Claims) { c.Audience = services }))
	wrong("for no service", notToken, forged(ours, func(c *jwt.Claims) { c.Audience = nil }))
	wrong("of another issuer", notToken, forged(ours, func(c *jwt.Claims) { c.Issuer = clerkIssuer }))
	wrong("without an end", notToken, forged(ours, func(c *jwt.Claims) { c.Expiry = nil }))
	wrong("without a beginning", notToken, forged(ours, func(c *jwt.Claims) { c.IssuedAt = nil }))
	wrong("that lives an hour", notToken, forged(ours, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(m.now.Add(time.Hour)) }))
	wrong("that names no user", notToken, func(r rpc) string {
		return m.forgedPassport(ours, passport.Claims{AccountID: "user_operator", Operator: true}, r.service, nil)
	})
	wrong("that names no account", notToken, func(r rpc) string {
		return m.forgedPassport(ours, passport.Claims{UserID: "user_operator", Operator: true}, r.service, nil)
	})
	wrong("signed by another key", notToken, forged(m.strangersKey("another"), nil))
	wrong("signed by another key under our key's id", notToken, forged(m.strangersKey(m.keyID), nil))
	wrong("signed with the public key as secret", notToken, forged(m.publicKey(), nil))
	wrong("with alg none", notToken, func(r rpc) string { return unsigned(good(r), m.keyID) })
	wrong("without a signature", notToken, func(r rpc) string { return part(good(r), 2, "") })
	wrong("with another's claims", notToken, func(r rpc) string { return part(m.passport(person, r.service), 1, claimsOf(good(r))) })
	wrong("with something after it", notToken, func(r rpc) string { return good(r) + "x" })
	wrong("a session token", notToken, func(rpc) string { return session })
	wrong("an internal proof", notToken, func(rpc) string { return m.proof("gateway", m.secret.internal, m.now) })
	wrong("expired", clocks, forged(ours, func(c *jwt.Claims) {
		c.IssuedAt, c.Expiry = jwt.NewNumericDate(m.now.Add(-time.Minute)), jwt.NewNumericDate(m.now.Add(-10*time.Second))
	}))
	wrong("of the future", clocks, forged(ours, func(c *jwt.Claims) {
		c.IssuedAt, c.Expiry = jwt.NewNumericDate(m.now.Add(time.Minute)), jwt.NewNumericDate(m.now.Add(2*time.Minute))
	}))
	both := func(name string, pairs func(r rpc) []string) {
		all = append(all, kind{"passport: " + name, func(r rpc) metadata.MD { return metadata.Pairs(pairs(r)...) }, notToken})
	}
	both("two", func(r rpc) []string { return []string{passport.Header, good(r), passport.Header, good(r)} })
	both("a good one after a wrong one", func(r rpc) []string { return []string{passport.Header, "garbage", passport.Header, good(r)} })
	both("a wrong one beside a good session", func(rpc) []string { return []string{passport.Header, "garbage", "authorization", "Bearer " + session} })
	return all
}

// proofs lists the right and wrong proofs of services. None of them proves a person.
func (m *mint) proofs(session string) []kind {
	var all []kind
	add := func(name string, s standing, values ...string) {
		all = append(all, kind{"proof: " + name, func(rpc) metadata.MD { return metadata.Pairs(values...) }, s})
	}
	right := func(name string) string { return m.proof(name, m.secret.internal, m.now) }
	for _, name := range []string{"gateway", "auth", "ai", "billing", "stranger"} {
		add("of "+name, standing{peer: name}, peer.Header, right(name))
	}
	another := make([]byte, peer.MinSecret)
	_, err := rand.Read(another)
	require.NoError(m.t, err)
	for _, name := range []string{"gateway", "auth", "ai", "billing"} { // each RPC meets a forgery of a service that it lets in
		good := right(name)
		mac := good[strings.LastIndexByte(good, '.'):]
		next := m.proof(name, m.secret.internal, m.now.Add(time.Minute))
		for what, proof := range map[string]string{
			"with another secret":              m.proof(name, another, m.now),
			"with the public key as secret":    m.proof(name, m.issuer.PublicKey(), m.now),
			"of ten minutes ago":               m.proof(name, m.secret.internal, m.now.Add(-10*time.Minute)),
			"of ten minutes later":             m.proof(name, m.secret.internal, m.now.Add(10*time.Minute)),
			"with another minute's signature":  good[:strings.LastIndexByte(good, '.')] + next[strings.LastIndexByte(next, '.'):],
			"with the signature of a stranger": good[:strings.LastIndexByte(good, '.')] + right("stranger")[strings.LastIndexByte(right("stranger"), '.'):],
			"with half a signature":            good[:len(good)-32],
			"without a signature":              strings.TrimSuffix(good, mac) + ".",
			"only the name":                    name,
		} {
			add(what+", "+name, standing{}, peer.Header, proof)
		}
		add("two, "+name, standing{noPeer: invalidToken}, peer.Header, good, peer.Header, good)
		add("as a bearer token, "+name, standing{refused: invalidToken}, "authorization", "Bearer "+good)
	}
	slices.SortFunc(all, func(a, b kind) int { return strings.Compare(a.name, b.name) })
	add("garbage beside an operator's session", standing{known: true, admin: true, operator: true}, peer.Header, "garbage", "authorization", "Bearer "+session)
	add("of the gateway beside a wrong passport", standing{refused: invalidToken, peer: "gateway"}, peer.Header, right("gateway"), passport.Header, "garbage")
	return all
}

// apiKeys are API keys that auth made.
type apiKeys struct {
	whole, least, operators, revoked string
	lacking                          map[string]string // by the scope that the key lacks
}

// without returns a key with every scope except one that the rule names, or with one scope only for a rule that names none.
func (k apiKeys) without(rule *accessv1.Rule) string {
	if len(rule.GetScopes()) == 0 {
		return k.least
	}
	return k.lacking[rule.GetScopes()[0]]
}
