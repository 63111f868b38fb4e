package limit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pingTimeout bounds each wait of Ping, which makes no call wait: a distant Redis with TLS takes more than the calls of models give it.
const pingTimeout = 5 * time.Second

// Ping reports whether the Redis at an address answers, takes the credentials and may run scripts. It writes nothing. Its error does not
// contain the address.
func Ping(ctx context.Context, url string) (err error) {
	r, err := NewRedis(RedisOptions{URL: url, Timeout: pingTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	client := r.clients.use()
	defer client.release()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	if err := client.Eval(ctx, "return 1", nil).Err(); err != nil {
		return fmt.Errorf("it runs no scripts: %w", err)
	}
	return nil
}
