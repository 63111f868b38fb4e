package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

const (
	// streams is how many requests of one connection the edge works on at once.
	streams = 100
	// mostMemory is what one attacker may make the edge hold.
	mostMemory = 32 << 20
)

// fortress is an edge over TLS, one attacker's connection, and another client.
type fortress struct {
	*served
	pool   *x509.CertPool
	victim *http.Client
	// working counts the model calls that are open, and most is the largest count. A call works until the gate opens, whatever the client does.
	working, most atomic.Int32
	open          func() // the gate
	goroutines    int
	memory        uint64
}

func newFortress(t *testing.T, config func(*gateway.Config)) *fortress {
	t.Helper()
	change, pool := certified(t, "edge")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gate := make(chan struct{})
	f := &fortress{pool: pool, open: sync.OnceFunc(func() { close(gate) })}
	f.served = serveOn(t, narrow{listener}, "plain", func(c *gateway.Config) {
		change(c)
		config(c)
	})
	f.victim = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}
	f.ai.relay = func(*aiv1.RelayRequest, relayStream) error {
		now := f.working.Add(1)
		for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
		}
		defer f.working.Add(-1)
		<-gate
		return nil
	}
	t.Cleanup(func() {
		f.victim.CloseIdleConnections()
		f.open()
		f.stop()
		require.NoError(t, <-f.done)
	})
	require.NoError(t, f.ask(t))
	f.goroutines, f.memory = runtime.NumGoroutine(), heap()
	return f
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// ask makes another client's request over its own connection.
func (f *fortress) ask(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https"+strings.TrimPrefix(f.url, "http")+"/healthz", http.NoBody)
	require.NoError(t, err)
	response, err := f.victim.Do(request)
	if err != nil {
		return err
	}
	require.Equal(t, http.StatusOK, response.StatusCode)
	return response.Body.Close()
}

// holds checks, while an attack runs, that another client is served and that the edge does not grow.
func (f *fortress) holds(t *testing.T) {
	t.Helper()
	for range 5 {
		require.NoError(t, f.ask(t))
		// Besides its handlers, a connection has a few goroutines: its own, its reader, its writer and the test's reader.
		require.LessOrEqual(t, runtime.NumGoroutine(), f.goroutines+streams+50)
	}
	require.LessOrEqual(t, f.most.Load(), int32(streams))
	require.Less(t, heap(), f.memory+mostMemory)
}

// occupied returns an attacker with as many open model calls as the edge allows.
func (f *fortress) occupied(t *testing.T) *attacker {
	t.Helper()
	a := newAttacker(t, f.served, f.pool)
	go a.listen()
	for range streams {
		_, err := a.chat()
		require.NoError(t, err)
	}
	require.NoError(t, a.out.Flush())
	require.Eventually(t, func() bool { return f.working.Load() == streams }, time.Minute, time.Millisecond)
	return a
}

// Requests that are reset at once still count while they work. Too many of them end the connection.
func TestEdgeEndsRapidResets(t *testing.T) {
	for name, frame := range map[string]func(a *attacker, id uint32) error{
		"by the client":             func(a *attacker, id uint32) error { return a.WriteRSTStream(id, http2.ErrCodeCancel) },
		"by the server, provoked":   func(a *attacker, id uint32) error { return a.WriteWindowUpdate(id, 0) },
		"by the server, overflowed": func(a *attacker, id uint32) error { return a.WriteWindowUpdate(id, 1<<31-1) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFortress(t, func(*gateway.Config) {})
			a := f.occupied(t)
			for id := uint32(1); id < a.stream; id += 2 {
				require.NoError(t, frame(a, id))
			}
			err := a.out.Flush()
			for sent := int32(streams); err == nil && sent < 10*streams && len(a.ended) == 0; sent++ {
				if name != "by the client" { // a stream counts until its reset is written
					require.Eventually(t, func() bool { return a.resets.Load() >= sent || len(a.ended) > 0 }, time.Minute, 10*time.Microsecond)
				}
				err = a.repeat(1, func() error {
					id, err := a.chat()
					return errors.Join(err, frame(a, id))
				})
			}
			require.Equal(t, http2.ErrCodeEnhanceYourCalm.String(), (<-a.ended).String())
			f.holds(t)
		})
	}
}

// Requests that end quickly are worked off at the pace of the edge, one connection's share at a time.
func TestEdgeWorksOffResetsOfQuickRequests(t *testing.T) {
	f := newFortress(t, func(*gateway.Config) {})
	a := newAttacker(t, f.served, f.pool)
	go a.listen()
	sent := make(chan error, 1)
	go func() {
		sent <- a.repeat(5000, func() error {
			if err := a.ask(a.header("GET", "/api/v1/me")); err != nil {
				return err
			}
			return a.WriteRSTStream(a.stream-2, http2.ErrCodeCancel)
		})
	}()
	f.holds(t)
	t.Log(<-sent)
	f.holds(t)
}

// More streams than the edge allows are refused, and the others work.
func TestEdgeRefusesTooManyStreams(t *testing.T) {
	f := newFortress(t, func(*gateway.Config) {})
	a := f.occupied(t)
	require.NoError(t, a.repeat(50, func() error { return a.ask(a.header("GET", "/healthz")) }))
	require.Eventually(t, func() bool { return a.resets.Load() == 50 }, time.Minute, time.Millisecond)
	f.holds(t)
	f.open()
	require.Eventually(t, func() bool { return f.working.Load() == 0 }, time.Minute, time.Millisecond)
	require.Equal(t, int32(streams), f.most.Load())
}

// Headers that do not end, or that are larger than they look, cost no more memory than the limit of headers.
func TestEdgeEndsHeaderFloods(t *testing.T) {
	for name, c := range map[string]struct {
		fragment string
		want     http2.ErrCode
	}{
		"many fields":  {strings.Repeat("\x00\x01a\x01b", 3000), http2.ErrCodeProtocol},
		"a long value": {"\x00\x01a\x7f\xff\xff\xff\x7f" + strings.Repeat("x", 10_000), http2.ErrCodeCompression},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFortress(t, func(*gateway.Config) {})
			a := newAttacker(t, f.served, f.pool)
			go a.listen()
			require.NoError(t, a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.header("GET", "/healthz"), EndStream: true}))
			err := a.repeat(10_000, func() error { return a.WriteContinuation(1, false, []byte(c.fragment)) })
			require.Error(t, err, "the edge ends the connection")
			require.Equal(t, c.want.String(), (<-a.ended).String())
			f.holds(t)
		})
	}
}

// A small block that refers to one large field many times is refused as too large before it is expanded, and the connection stays.
func TestEdgeRefusesHeaderBombs(t *testing.T) {
	f := newFortress(t, func(*gateway.Config) {})
	a := newAttacker(t, f.served, f.pool)
	go a.listen()
	const large = "\x40\x04bomb\x7f\xa1\x1e" // a literal of 4000 bytes, which the table keeps as its first entry
	block := string(a.header("GET", "/healthz")) + large + strings.Repeat("x", 4000) + strings.Repeat("\xbe", 10_000)
	const bombs = 50 // 40 MB each
	require.NoError(t, a.repeat(bombs, func() error { return a.ask([]byte(block)) }))
	require.Eventually(t, func() bool { return a.statuses[http.StatusRequestHeaderFieldsTooLarge].Load() == bombs }, time.Minute, time.Millisecond)
	f.holds(t)
}

// A client that lets nothing through holds its requests open for the time that a part of an answer has, and no longer.
func TestEdgeEndsAnswersThatNobodyReads(t *testing.T) {
	for name, c := range map[string]struct {
		window uint32
		pause  time.Duration // of the answer after its head, in which the deadline is removed
	}{"no window": {}, "one byte": {window: 1}, "after a pause": {pause: 2 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			f := newFortress(t, func(c *gateway.Config) { c.WriteTimeout = time.Second })
			begun, ended := make(chan struct{}, streams), make(chan struct{}, streams)
			f.ai.relay = func(_ *aiv1.RelayRequest, out relayStream) error {
				begun <- struct{}{}
				defer func() { ended <- struct{}{} }()
				err := out.Send(&aiv1.RelayResponse{Head: streamHead})
				<-time.After(c.pause)
				for piece := make([]byte, 16<<10); err == nil; {
					err = out.Send(&aiv1.RelayResponse{Body: piece})
				}
				return err
			}
			a := newAttacker(t, f.served, f.pool, http2.Setting{ID: http2.SettingInitialWindowSize, Val: c.window})
			go a.listen()
			require.NoError(t, a.repeat(streams, func() error {
				_, err := a.chat()
				return err
			}))
			for range streams {
				<-begun
			}
			require.Eventually(t, func() bool { return f.ask(t) == nil }, time.Minute, time.Millisecond) // a second is little on a busy machine
			for range streams {
				<-ended
			}
			require.Eventually(t, func() bool { return a.resets.Load() == streams }, time.Minute, time.Millisecond)
			require.Less(t, heap(), f.memory+mostMemory)
		})
	}
}

// PING frames of a client that reads no answer end the connection by the number of answers that wait.
func TestEdgeEndsFloodsOfUnreadAnswers(t *testing.T) {
	f := newFortress(t, func(c *gateway.Config) { c.WriteTimeout = time.Hour })
	a := newAttacker(t, f.served, f.pool)
	sent := make(chan error, 1)
	go func() { sent <- a.repeat(10_000_000, func() error { return a.WritePing(false, [8]byte{1}) }) }()
	f.holds(t)
	var failed net.Error
	require.ErrorAs(t, <-sent, &failed)
	require.False(t, failed.Timeout(), "the edge ends the connection: %v", failed)
	f.holds(t)
}

// SETTINGS frames of a client that reads no answer hold no memory: the edge remembers only that one acknowledgment is due, whatever the number of frames.
func TestEdgeHoldsNothingForUnreadSettings(t *testing.T) {
	f := newFortress(t, func(c *gateway.Config) { c.WriteTimeout = time.Hour })
	a := newAttacker(t, f.served, f.pool)
	const frames, least, most = 300_000, 200_000, 1 << 20 // a frame that waited would take more than four bytes
	memory := heap()
	var sent atomic.Int32
	var sending sync.WaitGroup
	sending.Go(func() {
		_ = a.repeat(frames, func() error {
			err := a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
			if err == nil {
				sent.Add(1)
			}
			return err
		})
	})
	f.holds(t)
	require.Less(t, heap(), f.memory+mostMemory)
	require.Eventually(t, func() bool { return sent.Load() >= least }, time.Minute, time.Millisecond, "the edge reads on")
	_ = a.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)) // the kernel may stop a client that reads nothing
	sending.Wait()
	require.Less(t, heap(), memory+most, "of %d frames", sent.Load())
	f.holds(t)
}

// Frames that cost little and that the client's answers keep up with are worked off beside other clients, without memory.
func TestEdgeStandsFloodsOfControlFrames(t *testing.T) {
	f := newFortress(t, func(*gateway.Config) {})
	for name, frame := range map[string]func(a *attacker) error{
		"SETTINGS": func(a *attacker) error {
			return a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		},
		"PRIORITY":      func(a *attacker) error { return a.WritePriority(1, http2.PriorityParam{StreamDep: 3}) },
		"WINDOW_UPDATE": func(a *attacker) error { return a.WriteWindowUpdate(0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttacker(t, f.served, f.pool)
			go a.listen()
			sent := make(chan error, 1)
			go func() { sent <- a.repeat(20_000, func() error { return frame(a) }) }()
			f.holds(t)
			require.NoError(t, <-sent)
			require.NoError(t, a.ask(a.header("GET", "/healthz")))
			require.NoError(t, a.out.Flush())
			require.Eventually(t, func() bool { return a.statuses[http.StatusOK].Load() == 1 }, time.Minute, time.Millisecond)
			f.holds(t)
		})
	}
}

// Frames that no client needs end the connection with their reason.
func TestEdgeEndsInvalidFrames(t *testing.T) {
	f := newFortress(t, func(*gateway.Config) {})
	for name, c := range map[string]struct {
		frame func(a *attacker) error
		want  http2.ErrCode
	}{
		"many settings":     {func(a *attacker) error { return a.WriteSettings(make([]http2.Setting, 101)...) }, http2.ErrCodeProtocol},
		"an endless window": {func(a *attacker) error { return a.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl},
		"a large frame":     {func(a *attacker) error { return a.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 2<<20)) }, http2.ErrCodeFrameSize},
		"an even stream": {func(a *attacker) error {
			a.stream = 2
			return a.ask(a.header("GET", "/healthz"))
		}, http2.ErrCodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttacker(t, f.served, f.pool)
			go a.listen()
			_ = a.repeat(1, func() error { return c.frame(a) }) // the connection may end before all is sent
			require.Equal(t, c.want.String(), (<-a.ended).String())
			f.holds(t)
		})
	}
}
