package authn

import (
	"context"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// Directory is what deciding needs of directory.Store.
type Directory interface {
	Standing(ctx context.Context, userID, organizationID, sessionID string) (directory.Standing, error)
	Introduce(ctx context.Context, in directory.Introduction) error
}

// Keys checks API keys; apikey.Keeper does.
type Keys interface {
	Verify(ctx context.Context, secret string) (apikey.Key, error)
}

// Completer fetches from Clerk, in the background, what a token does not say. It never blocks.
type Completer interface {
	User(id string)
	Organization(id string)
}

// Config are an Authenticator's parts.
type Config struct {
	Sessions  session.Verifier
	Keys      Keys
	Directory Directory
	Completer Completer
	// Operators are the ids of the people who run Trivet.
	Operators []string
	// Record is told the verdict on each credential; kind is "session" or "api_key".
	Record func(ctx context.Context, kind, verdict string)
	// Warn is told of failures that the caller does not notice.
	Warn func(ctx context.Context, message string, err error)
	Now  func() time.Time
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

// Authenticate returns whom a credential names. Errors: INVALID_TOKEN, USER_DISABLED, SERVICE_UNAVAILABLE, the store's and
// the context's own.
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
	verdictUserLocked   = "user_locked"
	verdictRevoked      = "session_revoked"
	verdictOrganization = "organization_deleted"
	verdictMembership   = "membership_ended"
)

// refusal is why a good signature is not enough; it is the cause behind "Invalid token", for the log.
type refusal string

func (r refusal) Error() string { return "credential refused: " + string(r) }

// invalid is the same for every fault, so that nobody learns from it which one it was.
func invalid(cause error) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token").Cause(cause)
}

func disabled(verdict string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED,
		"This user is disabled. Ask whoever runs the application.").Cause(refusal(verdict))
}

// userVerdict tells whether the user may be here at all.
func userVerdict(st directory.Standing) string {
	switch {
	case st.User == directory.Deleted:
		return verdictUserDeleted
	case st.Banned:
		return verdictUserBanned
	case st.Locked:
		return verdictUserLocked
	}
	return verdictAccepted
}
