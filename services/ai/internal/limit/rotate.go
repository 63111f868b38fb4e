package limit

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Rotate uses another address, such as one with another password. Calls that are under way end with the earlier one. It returns an error, and
// changes nothing, for an invalid address and for a password that Redis refuses. A Redis that does not answer is not asked again.
func (r *Redis) Rotate(ctx context.Context, url string) error {
	r.clients.RLock()
	same := url == r.options.URL
	options := r.options
	r.clients.RUnlock()
	if same {
		return nil
	}
	options.URL = url
	client, err := newClient(options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := client.Ping(ctx).Err(); redis.IsAuthError(err) || redis.IsPermissionError(err) {
		return errors.Join(errors.New("Redis refuses the user or the password in REDIS_URL"), client.Close())
	}
	r.clients.Lock()
	old := r.client
	r.client, r.options.URL = client, url
	r.clients.Unlock()
	return old.Close()
}

// Rotate uses another address of Redis, as Redis.Rotate does.
func (f *Failover) Rotate(ctx context.Context, url string) error { return f.redis.Rotate(ctx, url) }
