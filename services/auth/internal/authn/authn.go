package authn

import (
	"context"
	"log/slog"
	"slices"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// Directory is the part of directory.Store that decisions need.
type Directory interface {
	Standing(ctx context.Context, userID, organizationID, sessionID string) (directory.Standing, error)
	Introduce(ctx context.Context, in directory.Introduction) error
}

// Keys checks API keys; apikey.Manager does.
type Keys interface {
	Verify(ctx context.Context, secret string) (apikey.Verified, error)
}

// Completer fetches from Clerk, in the background, what a token does not say. It never blocks.
type Completer interface {
	User(id string)
	Organization(id string)
}

// Config configures an Authenticator.
type Config struct {
	Sessions  session.Verifier
	Keys      Keys
	Directory Directory
	Completer Completer
	// Operators are the ids of the people who run Trivet.
	Operators []string
	// AdminRoles are the roles that may decide for an organization's account, without "org:".
	AdminRoles []string
	// Record counts the verdict on each credential; kind is "session" or "api_key".
	Record func(ctx context.Context, kind, verdict string)
	Logger *slog.Logger
	Now    func() time.Time
}

// Authenticator decides about credentials.
type Authenticator struct {
	Config
	operators map[string]bool
}

// New makes an Authenticator.
func New(c Config) *Authenticator {
	operators := make(map[string]bool, len(c.Operators))
	for _, id := range c.Operators {
		operators[id] = true
	}
	return &Authenticator{Config: c, operators: operators}
}

// The kinds of credential, for metrics.
const (
	kindSession = "session"
	kindAPIKey  = "api_key"
)

// Authenticate verifies a credential. Errors: INVALID_TOKEN, USER_DISABLED, API_KEY_MAKER_LEFT, SERVICE_UNAVAILABLE, the
// store's and the context's own.
func (a *Authenticator) Authenticate(ctx context.Context, credential string) (*Grant, error) {
	decide, kind := a.session, kindSession
	if apikey.Looks(credential) {
		decide, kind = a.apiKey, kindAPIKey
	}
	grant, verdict, err := decide(ctx, credential)
	a.Record(ctx, kind, verdict)
	return grant, err
}

// The verdicts that need more than the credential itself; session has the others.
const (
	verdictAccepted     = string(session.VerdictAccepted)
	verdictUnavailable  = "unavailable"
	verdictUserDeleted  = "user_deleted"
	verdictUserBanned   = "user_banned"
	verdictDeprovision  = "user_deprovisioned"
	verdictMakerLeft    = "maker_left"
	verdictRevoked      = "session_revoked"
	verdictOrganization = "organization_deleted"
	verdictMembership   = "membership_ended"
)

// refusal is why a credential with a valid signature is refused; the log shows it as the cause of "Invalid token".
type refusal string

func (r refusal) Error() string { return "credential refused: " + string(r) }

// invalid has the same text for every fault, so that a caller cannot learn which one it was.
func invalid(cause error) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token").Cause(cause)
}

// admin reports whether a role may decide for the account: every owner of a personal account may.
func (a *Authenticator) admin(organizationID, role string) bool {
	return organizationID == "" || slices.Contains(a.AdminRoles, role)
}

func disabled(verdict string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED,
		"This user is disabled. Contact the operator of the application.").Cause(refusal(verdict))
}

// userVerdict reports whether the user's credentials are accepted at all. A lock only keeps a person from signing in: anybody
// can lock an account by wrong passwords, and must not end its sessions and keys.
func userVerdict(st directory.Standing) string {
	switch {
	case st.User == directory.Deleted:
		return verdictUserDeleted
	case st.Banned:
		return verdictUserBanned
	case st.Deprovisioned:
		return verdictDeprovision
	}
	return verdictAccepted
}
