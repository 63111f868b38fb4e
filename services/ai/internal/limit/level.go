package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Level is a limit that applies to a call, and what is left of it after the call was let in.
type Level struct {
	// Name is the "limit" in the metadata of a refusal, such as "requests_per_minute".
	Name string
	// Limit is the most in a Window, and Remaining what is left of it.
	Limit, Remaining int64
	// Window is how long the limit counts, and Reset the time until all of it is left again.
	Window, Reset time.Duration
}

// The names of limits; the edge reads them, too.
const (
	nameKeyRequests = "api_key_requests_per_minute"
	nameKeyDay      = "api_key_requests_per_day"
	nameKeyStreams  = "api_key_concurrent_streams"
	nameKeyUse      = "api_key_tokens_per_minute"
	nameRequests    = "requests_per_minute"
	nameDay         = "requests_per_day"
	nameConcurrent  = "concurrent_requests"
	nameStreams     = "concurrent_streams"
	nameUse         = "tokens_per_minute"
)

// level returns what is left of a limit. The window must have been rolled.
func (w *window) level(name string, at time.Time, limit int64) Level {
	const ms = int64(Minute / time.Millisecond)
	elapsed := at.Sub(w.start)
	past := (w.past*(ms-elapsed.Milliseconds()) + ms - 1) / ms
	l := Level{Name: name, Limit: limit, Remaining: max(0, limit-w.now-past), Window: Minute}
	switch {
	case w.now > 0: // what is counted now fades in the next window
		l.Reset = 2*Minute - elapsed
	case w.past > 0:
		l.Reset = Minute - elapsed
	}
	return l
}

// levels returns what is left of the limits that apply, those of one name together; nil when none does.
func levels(at time.Time, ask Ask, account *counts, keys []*counts) (all []Level) {
	all = keyLevels(at, ask.Keys, keys)
	if ask.AccountRequests > 0 {
		all = append(all, account.requests.level(nameRequests, at, ask.AccountRequests))
	}
	if n := ask.AccountRequestsPerDay; n > 0 {
		all = append(all, account.dayLevel(nameDay, at, n))
	}
	if ask.TokensPerMinute > 0 {
		all = append(all, account.tokens.level(nameUse, at, ask.TokensPerMinute))
	}
	return all
}

// keyLevels returns what is left of the limits of API keys, those of one name together; nil when none applies.
func keyLevels(at time.Time, limits []Key, keys []*counts) (all []Level) {
	for i, key := range limits {
		if key.Requests > 0 {
			all = append(all, keys[i].requests.level(nameKeyRequests, at, key.Requests))
		}
	}
	for i, key := range limits {
		if key.RequestsPerDay > 0 {
			all = append(all, keys[i].dayLevel(nameKeyDay, at, key.RequestsPerDay))
		}
	}
	for i, key := range limits {
		if key.TokensPerMinute > 0 {
			all = append(all, keys[i].tokens.level(nameKeyUse, at, key.TokensPerMinute))
		}
	}
	return all
}

// dayLevel returns what is left of a limit of the day.
func (c *counts) dayLevel(name string, at time.Time, limit int64) Level {
	return Level{Name: name, Limit: limit, Remaining: max(0, limit-c.today), Window: day, Reset: c.day.Add(day).Sub(at)}
}

// tightest returns the level with the least left, of those of tokens or of those of requests.
func tightest(all []Level, tokens bool) (least Level, found bool) {
	for _, l := range all {
		if (l.Name == nameUse || l.Name == nameKeyUse) == tokens && (!found || l.Remaining < least.Remaining) {
			least, found = l, true
		}
	}
	return least, found
}

// openAINames are the headers about requests, and those about tokens.
var openAINames = [...]struct{ limit, remaining, reset string }{
	{"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
}

// AddOpenAI adds the levels to the headers of an answer, by OpenAI's names: of several limits of requests, or of tokens, the one with
// the least left.
func AddOpenAI(headers map[string]string, all []Level) {
	for i, names := range openAINames {
		l, found := tightest(all, i == 1)
		if !found {
			continue
		}
		headers[names.limit] = strconv.FormatInt(l.Limit, 10)
		headers[names.remaining] = strconv.FormatInt(l.Remaining, 10)
		headers[names.reset] = l.Reset.Round(time.Millisecond).String()
	}
}

// Fields returns the levels as the fields RateLimit-Policy and RateLimit of the IETF's draft.
func Fields(all []Level) (policy, current string) {
	var policies, currents []string
	for i, l := range all {
		if i > 0 && l.Name == all[i-1].Name { // keys that made the key: the tightest counts
			continue
		}
		l = tightestOf(all[i:], l.Name)
		policies = append(policies, fmt.Sprintf("%q;q=%d;w=%d", l.Name, l.Limit, int64(l.Window.Seconds())))
		currents = append(currents, fmt.Sprintf("%q;r=%d;t=%d", l.Name, l.Remaining, int64((l.Reset+time.Second-1)/time.Second)))
	}
	return strings.Join(policies, ", "), strings.Join(currents, ", ")
}

// tightestOf returns the level of that name with the least left. The first has the name.
func tightestOf(all []Level, name string) Level {
	least := all[0]
	for _, l := range all {
		if l.Name == name && l.Remaining < least.Remaining {
			least = l
		}
	}
	return least
}
