package ai

import (
	"context"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

// The versions of Redis, by their first number.
const (
	// OldestRedis is the oldest version that runs the scripts: they write after they have read the time.
	OldestRedis = 5
	// TestedRedis is the oldest version that Trivet is tested with.
	TestedRedis = 7
)

// CheckRedis reports whether the Redis of REDIS_URL can count limits. It only reads.
func CheckRedis(ctx context.Context, url settings.Secret) error { return limit.Ping(ctx, url.Reveal()) }

// RedisVersion returns the first number of the version of the Redis of REDIS_URL; 0 when it does not say.
func RedisVersion(ctx context.Context, url settings.Secret) (int, error) {
	return limit.Version(ctx, url.Reveal())
}
