package limit

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

// Version returns the first number of the version that the Redis at an address reports, such as 7; 0 when it does not say, as to a user
// that may not ask.
func Version(ctx context.Context, url string) (version int, err error) {
	r, err := NewRedis(RedisOptions{URL: url, Timeout: pingTimeout})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	client := r.clients.use()
	defer client.release()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return 0, nil //nolint:nilerr // access lists often refuse INFO
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(line, "redis_version:"); ok {
			first, _, _ := strings.Cut(strings.TrimSpace(text), ".")
			version, _ = strconv.Atoi(first) // 0 says that it is unknown
		}
	}
	return version, nil
}
