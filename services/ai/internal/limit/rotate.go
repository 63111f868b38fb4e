package limit

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Rotate uses another address, such as one with another password. Calls that are under way end with the earlier one. It returns an error, and
// changes nothing, for an invalid address, for a password that Redis refuses, and for an address that Ping would refuse while the earlier one works.
// When neither answers, the new one is used.
func (r *Redis) Rotate(ctx context.Context, url string) error {
	options := r.options
	if options.URL = r.clients.address(); url == options.URL {
		return nil
	}
	if err := CheckURL(url); err != nil {
		return err
	}
	switch failed := Ping(ctx, url); {
	case redis.IsAuthError(failed):
		return errors.New("Redis refuses the user or the password in REDIS_URL")
	case failed != nil && (redis.IsPermissionError(failed) || Ping(ctx, options.URL) == nil):
		return fmt.Errorf("the Redis of REDIS_URL cannot be used, and the earlier one stays: %w", failed)
	}
	options.URL = url
	client, err := newClient(options)
	if err != nil {
		return err
	}
	return r.clients.replace(client, url)
}

// Rotate uses another address of Redis, as Redis.Rotate does.
func (f *Failover) Rotate(ctx context.Context, url string) error { return f.redis.Rotate(ctx, url) }
