package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/cork"
	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/provider"
)

// errClosed tells the ai service that the client takes no more of this response.
var errClosed = errors.New("the response has ended")

// pushed is a response that the ai service of the same process writes itself, piece by piece, from a goroutine of its own. A
// timer sends the comments. One lock keeps both apart, and from the end of the response.
type pushed struct {
	answer
	writer    sse.Writer // answer.out
	request   *aiv1.RelayRequest
	keepAlive time.Duration
	cancel    context.CancelFunc // ends the call; nil when no comments are sent, as then only an error of send ends it

	mu     sync.Mutex
	timer  *time.Timer // nil when no comments are sent
	linger *time.Timer // sends the last part if the end does not come; nil before it
	last   time.Time   // when the last piece came
	begun  bool        // something was sent
	events bool        // a stream of events has started
	closed bool        // nothing is sent any more
}

// push makes a plain call and returns when the response has ended.
func (h *Relay) push(w http.ResponseWriter, r *http.Request, state *call.State, in *aiv1.RelayRequest) {
	ctx := provider.WithAttempt(r.Context(), &state.Attempt)
	p := &pushed{
		answer: answer{ctx: r.Context(), state: state, w: w, response: isResponse(in)},
		writer: sse.Over(w), request: in, keepAlive: h.KeepAlive,
	}
	p.out = &p.writer
	p.out.Through(cork.Of(r.Context(), r.ProtoMajor))
	if h.KeepAlive > 0 && mayStream(in) {
		ctx, p.cancel = context.WithCancel(ctx)
		defer p.cancel()
		p.last = time.Now()
		p.mu.Lock() // silence uses the field
		p.timer = time.AfterFunc(h.KeepAlive, p.silence)
		p.mu.Unlock()
	}
	p.finish(h.Plain(ctx, in, p.send))
}

// send writes one piece. Its error tells the ai service that the client is gone.
func (p *pushed) send(m *aiv1.RelayResponse) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	if p.timer != nil {
		p.last = time.Now()
	}
	err := p.write(m)
	if err != nil && !p.closed {
		p.gone(err)
	}
	return err
}

// gone ends the call of a client that takes nothing any more.
func (p *pushed) gone(err error) {
	p.closed = true
	p.left(err)
	if p.cancel != nil {
		p.cancel()
	}
}

// write writes a piece, and flushes it if the client reads piece by piece.
func (p *pushed) write(m *aiv1.RelayResponse) (err error) {
	defer func() { // after a panic, too: the answer to it must not stay behind
		if sent := p.out.Release(); err == nil {
			err = sent
		}
	}()
	err = p.put(m)
	switch {
	case err != nil || !p.events && !p.sound:
	case p.out.Waits() && p.linger != nil:
		p.linger.Reset(frames.Linger)
	case p.out.Waits():
		p.linger = time.AfterFunc(frames.Linger, p.lingered)
	default:
		err = p.out.Flush()
	}
	return err
}

// lingered sends the last part of a response whose end has not come.
func (p *pushed) lingered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if err := p.out.Flush(); err != nil {
		p.gone(err)
	}
}

func (p *pushed) put(m *aiv1.RelayResponse) error {
	if p.begun {
		return p.piece(m)
	}
	if !p.head(m, nil) {
		p.closed = true
		return errClosed
	}
	p.begun, p.events = true, m.GetHead().GetStreamed()
	return p.answer.write(m)
}

// silence sends a comment when no piece came for the interval, and looks again later. It is not set anew for each piece,
// which would cost more than looking at the clock.
func (p *pushed) silence() {
	starts := p.quiet() && wantsStream(p.request) // not under the lock: the request may be large
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if quiet := time.Since(p.last); quiet < p.keepAlive {
		p.timer.Reset(p.keepAlive - quiet)
		return
	}
	p.timer.Reset(p.keepAlive)
	switch {
	case p.events:
		if err := p.out.Ping(); err != nil {
			p.gone(err)
		}
	case !p.begun && starts:
		p.begun, p.events = true, true
		p.early()
	}
}

// quiet reports whether nothing has been sent.
func (p *pushed) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.begun && !p.closed
}

// finish ends the response as the call ended.
func (p *pushed) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.linger != nil {
		p.linger.Stop()
	}
	if p.closed {
		return
	}
	p.closed = true
	defer func() { _ = p.out.Release() }() // net/http sends the end of the response; if this fails, so does that
	if err == nil {
		err = io.EOF
	}
	if !p.begun {
		p.head(nil, err)
		return
	}
	p.end(err, p.events)
}
