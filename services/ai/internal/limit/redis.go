package limit

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// redisTimeout bounds every wait for Redis, unless RedisOptions say otherwise.
	redisTimeout = 250 * time.Millisecond
	// ticketLife is how long a running call counts after its process was last heard of. Renew is called more often.
	ticketLife = time.Minute
	// RenewEvery is how often Renew must be called.
	RenewEvery = ticketLife / 4
)

//go:embed admit.lua
var admitSource string

//go:embed done.lua
var doneSource string

// RedisOptions say where the counts are. URL is needed.
type RedisOptions struct {
	// URL is the address: redis://, rediss:// or unix://.
	URL string
	// Prefix begins every key; default "trivet:limit:".
	Prefix string
	// Timeout bounds every wait; default 250 ms.
	Timeout time.Duration
	// Now is the clock of tests; nil means the server's, which all replicas share.
	Now func() time.Time
}

// Redis is a Limiter for all processes that share a Redis. Each decision is one script there, so that it is exact under
// concurrency. An error other than an *errs.Error means that Redis did not answer.
type Redis struct {
	options RedisOptions
	clients *clients
	admit   *redis.Script
	done    *redis.Script
	process string
	serial  atomic.Uint64

	mu   sync.Mutex
	open map[*redisTicket]struct{}
}

// errURL hides what is wrong with an address, because the text may have its password.
var errURL = errors.New("limit: REDIS_URL is not an address of Redis")

// CheckURL reports whether an address cannot be one of Redis.
func CheckURL(url string) error {
	if _, err := redis.ParseURL(url); err != nil {
		return errURL
	}
	return nil
}

// quiet drops what go-redis logs by itself: every failure reaches the caller, who logs it once.
type quiet struct{}

// Printf implements go-redis's logger.
func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// NewRedis returns a limiter. It makes no connection.
func NewRedis(options RedisOptions) (*Redis, error) {
	silence()
	options.Timeout = cmp.Or(options.Timeout, redisTimeout)
	client, err := newClient(options)
	if err != nil {
		return nil, err
	}
	if options.Prefix == "" {
		options.Prefix = "trivet:limit:"
	}
	return &Redis{
		options: options, clients: newClients(client, options.URL), admit: redis.NewScript(admitSource), done: redis.NewScript(doneSource),
		process: rand.Text(), open: map[*redisTicket]struct{}{},
	}, nil
}

func newClient(options RedisOptions) (*redis.Client, error) {
	config, err := redis.ParseURL(options.URL)
	if err != nil {
		return nil, errURL
	}
	config.DialTimeout, config.ReadTimeout, config.WriteTimeout, config.PoolTimeout = options.Timeout, options.Timeout, options.Timeout, options.Timeout
	config.MaxRetries, config.DialerRetries, config.ContextTimeoutEnabled = -1, 1, true
	config.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(config), nil
}

// Close closes the connections.
func (r *Redis) Close() error { return r.clients.close() }

// now is the argument of the scripts for the time.
func (r *Redis) now() string {
	if r.options.Now == nil {
		return ""
	}
	return strconv.FormatInt(r.options.Now().UnixMicro(), 10)
}

// keyPart stands before the id of an API key. Replicas of older versions count in "…:key:ID" and let it expire after three minutes,
// which would end the day's count.
const keyPart = ":k2:"

// account returns the key of an account. The braces keep all keys of an account together in a cluster.
func (r *Redis) account(id string) string { return r.options.Prefix + "{" + id + "}" }

// Admit implements Limiter. The call to Redis does not end with ctx, because it would then be unknown whether it counted.
func (r *Redis) Admit(ctx context.Context, ask Ask) (Ticket, error) {
	t, err := r.take(ctx, ask)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (r *Redis) take(ctx context.Context, ask Ask) (*redisTicket, error) {
	base := r.account(ask.Account)
	t := &redisTicket{redis: r, running: base + ":running", stream: ask.Stream, id: r.process + strconv.FormatUint(r.serial.Add(1), 36)}
	t.shares = append(make([]redisShare, 0, 1+len(ask.Keys)), redisShare{counts: base, streams: base + ":streams", taken: ask.taken()})
	keys := append(make([]string, 0, 3+2*len(ask.Keys)), base, t.running, t.shares[0].streams)
	args := append(make([]any, 0, 11+4*len(ask.Keys)), r.now(), ask.AccountRequests, ask.AccountRequestsPerDay, ask.Concurrent, ask.TokensPerMinute,
		ask.Tokens, t.shares[0].taken, t.id, ticketLife.Microseconds(), flag(ask.Stream), ask.Streams)
	for _, key := range ask.Keys {
		counts := base + keyPart + key.ID
		s := redisShare{counts: counts, streams: counts + ":streams", taken: key.taken(ask.Tokens)}
		t.shares = append(t.shares, s)
		keys, args = append(keys, s.counts, s.streams), append(args, key.Requests, key.RequestsPerDay, key.Streams, key.TokensPerMinute)
	}
	got, err := r.run(ctx, r.admit, keys, args, admitted+ofKey*len(ask.Keys))
	if err != nil {
		return nil, err
	}
	if kind := kind(got[0]); kind != 0 {
		return nil, refusal{kind: kind, key: int(got[1]), wait: time.Duration(got[2]) * time.Microsecond, left: got[3]}.err(ask)
	}
	t.levels, t.shares[0].window = levelsOf(got, ask), got[3]
	for i := range ask.Keys {
		t.shares[1+i].window = got[admitted+ofKey*i+3]
	}
	r.mu.Lock()
	r.open[t] = struct{}{}
	r.mu.Unlock()
	return t, nil
}

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}

// admitted is how many numbers admit.lua answers for a call that is let in, without those of API keys, ofKey for each API key, and
// refusedNumbers for a call that is not let in.
const admitted, ofKey, refusedNumbers = 11, 7, 4

// levelsOf reads what is left of the limits in an answer of admit.lua.
func levelsOf(got []int64, ask Ask) []Level {
	at := time.UnixMicro(got[4])
	read := func(start, now, past int64) window { return window{start: time.UnixMicro(start), now: now, past: past} }
	account := &counts{requests: read(got[5], got[6], got[7]), tokens: read(got[3], got[8], got[9]), today: got[10], day: at.UTC().Truncate(day)}
	keys := make([]*counts, len(ask.Keys))
	for i := range keys {
		key := got[admitted+ofKey*i:]
		keys[i] = &counts{requests: read(key[0], key[1], key[2]), tokens: read(key[3], key[4], key[5]), today: key[6], day: account.day}
	}
	return levels(at, ask, account, keys)
}

// run runs a script that answers numbers: want of them, or refusedNumbers of which the first is above 0.
func (r *Redis) run(ctx context.Context, script *redis.Script, keys []string, args []any, want int) ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.options.Timeout)
	defer cancel()
	client := r.clients.use()
	defer client.release()
	got, err := script.Run(ctx, client, keys, args...).Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("limit: Redis: %w", err)
	}
	if len(got) < refusedNumbers || got[0] < 0 || got[0] > int64(accountStreams) || got[0] == 0 && len(got) != want {
		return nil, errors.New("limit: Redis gave an unexpected answer")
	}
	return got, nil
}

// Renew extends the running calls of this process, so that they continue to count.
func (r *Redis) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*r.options.Timeout)
	defer cancel()
	client := r.clients.use()
	defer client.release()
	until, err := r.time(ctx, client)
	if err != nil {
		return err
	}
	pipe := client.Pipeline()
	r.mu.Lock()
	for t := range r.open {
		for _, running := range t.runningIn() {
			pipe.ZAddXX(ctx, running, redis.Z{Score: float64(until.Add(ticketLife).UnixMicro()), Member: t.id})
			pipe.PExpire(ctx, running, 3*ticketLife)
		}
	}
	r.mu.Unlock()
	if pipe.Len() == 0 {
		return nil
	}
	_, err = pipe.Exec(ctx)
	return err
}

// time is the time by which all replicas admit calls.
func (r *Redis) time(ctx context.Context, client *sharedClient) (time.Time, error) {
	if r.options.Now != nil {
		return r.options.Now(), nil
	}
	return client.Time(ctx).Result()
}

type redisTicket struct {
	redis   *Redis
	id      string
	running string       // the set of the account's running calls
	shares  []redisShare // of the account, then of each API key
	stream  bool
	levels  []Level
	over    atomic.Bool
}

// redisShare is what a call counts in an account or an API key.
type redisShare struct {
	counts, streams string
	taken, window   int64
}

// runningIn returns the sets of running calls that contain the call.
func (t *redisTicket) runningIn() []string {
	sets := []string{t.running}
	if t.stream {
		for _, s := range t.shares {
			sets = append(sets, s.streams)
		}
	}
	return sets
}

// Levels implements Ticket.
func (t *redisTicket) Levels() []Level { return t.levels }

// Done implements Ticket. A second call does nothing. When Redis does not answer, the call counts until its life ends.
func (t *redisTicket) Done(used int64) { _ = t.end(used) }

// forget ends the renewal. It reports false when the ticket has ended before.
func (t *redisTicket) forget() bool {
	if t.over.Swap(true) {
		return false
	}
	t.redis.mu.Lock()
	delete(t.redis.open, t)
	t.redis.mu.Unlock()
	return true
}

func (t *redisTicket) end(used int64) error {
	if !t.forget() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.redis.options.Timeout)
	defer cancel()
	keys, args := make([]string, 0, 1+2*len(t.shares)), []any{t.redis.now(), t.id}
	for _, s := range t.shares {
		keys, args = append(keys, s.counts, s.streams), append(args, s.window, used-s.taken)
	}
	client := t.redis.clients.use()
	defer client.release()
	return t.redis.done.Run(ctx, client, append(keys, t.running), args...).Err()
}
