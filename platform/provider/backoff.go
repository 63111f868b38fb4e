package provider

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Backoff returns how long to wait before a retry: a random time (full jitter) up to base, doubled with each earlier
// retry, but at most limit. random returns a number from 0 to 1, and retry counts from 1.
func Backoff(retry int, base, limit time.Duration, random func() float64) time.Duration {
	most := min(float64(base)*math.Pow(2, float64(retry-1)), float64(limit))
	return time.Duration(random() * most)
}

// RetryAfter reads how long a provider asks to wait: from Retry-After-Ms, or Retry-After in seconds or as a date. It
// returns 0 for missing and invalid headers.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(h.Get("Retry-After-Ms")), 64); err == nil && ms > 0 {
		return seconds(ms / 1000)
	}
	value := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		return seconds(s)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// seconds is a duration that cannot overflow; 0 for what is not a number or negative.
func seconds(s float64) time.Duration {
	const most = 1e9
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s, most) * float64(time.Second))
}

// RateLimitReset reads how long a provider that limits the rate asks to wait: Retry-After, or else the longest
// x-ratelimit-reset-* whose limit is used up. known is false when no header says anything about a limit.
func RateLimitReset(h http.Header, now time.Time) (wait time.Duration, known bool) {
	if wait = RetryAfter(h, now); wait > 0 {
		return wait, true
	}
	for name, values := range h {
		limit, ok := strings.CutPrefix(name, "X-Ratelimit-Reset-")
		if !ok || len(values) == 0 {
			continue
		}
		known = true
		if left := h.Get("X-Ratelimit-Remaining-" + limit); left == "" || left == "0" {
			wait = max(wait, resetOf(values[0]))
		}
	}
	return wait, known
}

// resetOf reads a reset: a duration such as 6m0s or 20ms, or seconds.
func resetOf(text string) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return max(0, d)
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds(s)
	}
	return 0
}
