package ai

import (
	"context"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

// CheckRedis reports whether the Redis of REDIS_URL can count limits. It only reads.
func CheckRedis(ctx context.Context, url settings.Secret) error { return limit.Ping(ctx, url.Reveal()) }
