package stored

import (
	"context"
	"time"
)

// Running is a response that its provider makes in the background and that is not settled yet.
type Running struct {
	// ID is the provider's id.
	ID string
	// Account pays for the response, and User began it.
	Account, User string
	// Model makes the response, and Target keeps it.
	Model, Target string
	// Hold is the id of the hold that pays for it, and Request the X-Request-Id of the request that began it.
	Hold, Request string
	// Terms are what the settlement has to know of the request, as JSON.
	Terms []byte
	// Seen is the most output tokens that one stream has passed on so far: callers have got at least as many.
	Seen int64
	// Created is when the response began, Polled when the provider is to be asked next.
	Created, Polled time.Time
	// Polls is how often the provider was asked.
	Polls int64
	// Missing is since when the provider does not know the response; zero while it does.
	Missing time.Time
	// Starting is the id by which Start counted it; only for PutRunning.
	Starting string
}

// Starting is a response in the background that is about to begin.
type Starting struct {
	// ID is made by the caller.
	ID string
	// Account pays for the response.
	Account string
	// Most is how many responses the account may have at once, this one included.
	Most int64
	// Now is the time, and Expires when the response does not count any more unless PutRunning was called: its process has died.
	Now, Expires time.Time
}

// Backlog says how many responses run in the background.
type Backlog struct {
	Running int64
	// Oldest is when the oldest of them began, and Due when the first of them is to be asked for; zero for none.
	Oldest, Due time.Time
}

// Background keeps the responses that run in the background. A row stays until its response is settled.
type Background interface {
	// Running returns a response that runs. Error: ErrNotFound.
	Running(ctx context.Context, id string) (Running, error)
	// Start counts a response until PutRunning or Stop is called, and reports false if its account has too many. The limit is exact
	// for any number of processes that call Start at once.
	Start(ctx context.Context, s Starting) (bool, error)
	// Stop ends what Start counted. An unknown id is not an error.
	Stop(ctx context.Context, id string) error
	// Forget deletes what Start counted and what has expired, of all accounts.
	Forget(ctx context.Context, now time.Time) error
	// AllRunning returns up to limit responses whose ids come after one, in the order of their ids.
	AllRunning(ctx context.Context, after string, limit int) ([]Running, error)
	// Backlog looks at all of them.
	Backlog(ctx context.Context) (Backlog, error)
	// Claim returns up to limit responses that are to be asked for, those that wait longest first, and leaves them to the caller until lease.
	Claim(ctx context.Context, now, lease time.Time, limit int) ([]Running, error)
	// Again has the provider asked again at a time. missing is as in Running.
	Again(ctx context.Context, id string, at, missing time.Time) error
	// See notes how many output tokens a caller has got. The number never becomes lower.
	See(ctx context.Context, id string, tokens int64) error
	// Settled forgets a response that is settled. It reports true to one caller only.
	Settled(ctx context.Context, id string) (first bool, err error)
}
