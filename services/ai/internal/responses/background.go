package responses

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// runningRetry is when to try again while an account has as many running responses as it may have: it is unknown when one ends.
const runningRetry = 5 * time.Second

const (
	// startingTime is how long a response counts that a process was about to begin when it died. A provider tells the id of a response in the background
	// at once.
	startingTime = 10 * time.Minute
	// uncountTimeout bounds the wait for the store when a call ends that began no response.
	uncountTimeout = 5 * time.Second
)

// mayRun refuses responses in the background where none are possible.
func (f *Front) mayRun() error {
	if f.Running == nil {
		return invalid("background", "must be false: this installation has no database for the owners of stored responses")
	}
	if f.MaxRunning == 0 {
		return invalid("background", "must be false: this installation allows no responses in the background")
	}
	return nil
}

// start counts a response in the background that is about to begin, or refuses it if its account has too many.
func (f *Front) start(ctx context.Context, account string) (id string, err error) {
	now := f.Now()
	id = rand.Text()
	began, err := f.Running.Start(ctx, stored.Starting{ID: id, Account: account, Most: f.MaxRunning, Now: now, Expires: now.Add(startingTime)})
	if err != nil {
		return "", unavailable(err)
	}
	if began {
		return id, nil
	}
	return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "At most %d responses of an account may run in the background at the same time.", f.MaxRunning).
		With("limit", "background_responses").With("allowed", strconv.FormatInt(f.MaxRunning, 10)).With("remaining", "0").After(runningRetry)
}

// stop ends the count of a response that the call did not begin. What cannot be written expires.
func (k *keeper) stop(ctx context.Context) {
	if k.starting == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), uncountTimeout)
	defer cancel()
	if err := k.front.Running.Stop(ctx, k.starting); err != nil {
		k.front.Logger.WarnContext(ctx, "a response in the background that did not begin counts until its entry expires",
			slog.String("account_id", k.claims.AccountID), slog.Any("error", err))
	}
}

// running returns the row of a response that runs in the background; nil for another one.
func (f *Front) running(ctx context.Context, id string) (*stored.Running, error) {
	if f.Running == nil {
		return nil, nil //nolint:nilnil // nothing runs
	}
	r, err := f.Running.Running(ctx, id)
	if errors.Is(err, stored.ErrNotFound) {
		return nil, nil //nolint:nilnil // it does not run
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &r, nil
}

// observed returns what settles a running response when the provider's answer says that it has ended; nil for another one.
func (f *Front) observed(ctx context.Context, id string) (func(int, []byte) error, error) {
	running, err := f.running(ctx, id)
	if err != nil || running == nil {
		return nil, err
	}
	return func(status int, body []byte) error {
		f.Background.Observe(ctx, running, status, body)
		return nil
	}, nil
}

// end cancels and settles a response that runs, so that it can be deleted.
func (f *Front) end(ctx context.Context, id string) error {
	if f.Background == nil {
		return nil
	}
	err := f.Background.End(ctx, id)
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*errs.Error](err); ok {
		return own
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		"The response runs in the background and could not be cancelled and billed yet. Please try again later.").After(time.Second).Cause(err)
}

// resume passes on the events of a response.
func (f *Front) resume(ctx context.Context, claims *passport.Claims, in *aiv1.RelayRequest, r stored.Response, q query, sink invoke.Sink) error {
	running, err := f.running(ctx, r.ID)
	if err != nil {
		return err
	}
	owner := *claims
	owner.UserID = r.User // whoever reads it, it stays its user's
	return f.Invoker.Resume(ctx, claims, invoke.ResumeCall{
		Response: r, Running: running, RawQuery: q.raw, Headers: in.GetHeaders(), Sink: sink,
		Keeper: &keeper{front: f, claims: &owner}, Runner: f.Background,
	})
}

// KeepEnded notes the items and the tokens of a response that ran in the background.
func (f *Front) KeepEnded(ctx context.Context, r *stored.Running, kept invoke.Kept) error {
	return (&keeper{front: f, claims: &passport.Claims{AccountID: r.Account, UserID: r.User}}).Keep(ctx, kept)
}

// query is the query of a URL.
type query struct {
	raw    string // as the provider gets it
	stream bool
}

// maxQuery bounds the query of a URL, in bytes.
const maxQuery = 1024

// queryOf checks a query.
func queryOf(endpoint aiv1.Endpoint, raw string) (q query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil || len(raw) > maxQuery {
		return q, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The query of the URL cannot be read; it must have at most %d bytes.", maxQuery)
	}
	q.raw = values.Encode()
	get := endpoint == aiv1.Endpoint_ENDPOINT_RESPONSE_GET
	for _, name := range []string{"stream", "starting_after"} {
		if len(values[name]) > 1 {
			return q, invalid(name, "appears more than once")
		}
	}
	switch stream := values.Get("stream"); {
	case stream == "" || stream == "false":
	case stream == "true" && get:
		q.stream = true
	case !get:
		return q, invalid("stream", "must be false: only GET /v1/responses/ID has a stream")
	default:
		return q, invalid("stream", "must be true or false")
	}
	if after, given := values["starting_after"]; given && get {
		if n, err := strconv.ParseInt(after[0], 10, 64); err != nil || n < 0 {
			return q, invalid("starting_after", "must be the sequence_number of an event")
		}
	}
	return q, nil
}

// cancelRunning cancels a response whose owner cannot be stored, before it is deleted.
func (f *Front) cancelRunning(ctx context.Context, r stored.Response) {
	_, _, _ = f.Invoker.Fetch(ctx, callFor(r, http.MethodPost, "/cancel")) // the deletion tells
}
