package provider

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// call is one request on its way, and the body of its answer.
type call struct {
	t         *Transport
	ctx       context.Context // the caller's
	method    string
	start     time.Time
	firstByte time.Duration
	status    int
	body      io.ReadCloser
	silence   *time.Timer
	idle      time.Duration // the longest silence
	reading   atomic.Int64  // since when (nanoseconds from start) a read waits for the provider; 0: none does
	silent    atomic.Bool   // the call was ended because the provider was silent
	ended     atomic.Bool
	permit    permit // of the breaker
	permitted bool
	span      tracing.Span
	reply     *Reply // of a call that is not HTTP, when the provider replied
}

// answer puts the call in place of the response's body.
func (c *call) answer(response *http.Response) {
	c.status, c.firstByte = response.StatusCode, time.Since(c.start)
	if c.permitted && byStatus(c.status).result() == good { // a stream may take long, and others wait for a trial
		c.t.breaker.done(c.permit, good)
		c.permit, c.permitted = c.t.breaker.passed(), true
	}
	c.body = response.Body
	if c.body == nil || c.body == http.NoBody {
		c.end(nil)
		return
	}
	c.silence = time.AfterFunc(math.MaxInt64, c.watch) // set below: watch uses the field
	c.silence.Reset(c.idle)
	if w, ok := c.body.(io.Writer); ok {
		response.Body = writableCall{c, w} // a switched protocol, such as a WebSocket
		return
	}
	response.Body = c
}

// writableCall is the body of an answer with status 101.
type writableCall struct {
	*call
	io.Writer
}

// watch closes the body when a read has waited for too long, and else looks again later. The read then fails. A slow reader
// is not a silent provider. Looking at a time that reads write down costs them less than setting a timer for each chunk.
func (c *call) watch() {
	wait := c.idle
	if since := c.reading.Load(); since != 0 {
		wait -= time.Since(c.start) - time.Duration(since)
	}
	if wait <= 0 {
		c.silent.Store(true)
		_ = c.body.Close()
		return
	}
	c.silence.Reset(wait)
	if c.ended.Load() {
		c.silence.Stop()
	}
}

// Read reads the body; each chunk has the idle timeout to come.
func (c *call) Read(p []byte) (int, error) {
	if c.ended.Load() {
		return c.body.Read(p)
	}
	c.reading.Store(max(1, int64(time.Since(c.start))))
	n, err := c.body.Read(p)
	c.reading.Store(0)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		c.end(nil)
		return n, io.EOF
	}
	if c.silent.Load() {
		err = ErrIdle
	}
	c.end(err)
	return n, err
}

// Close ends the call, whether or not the body was read to its end: who closes early has what it wanted, unless its
// context was canceled.
func (c *call) Close() error {
	c.end(c.ctx.Err())
	return c.body.Close()
}

// end counts and logs the call, once.
func (c *call) end(err error) {
	if c.ended.Swap(true) {
		return
	}
	if c.silence != nil {
		c.silence.Stop()
	}
	took := time.Since(c.start)
	out := c.outcome(err)
	c.t.inFlight.Add(-1)
	if c.permitted {
		c.t.breaker.done(c.permit, out.result())
	}
	c.t.metrics.record(c.ctx, c.method, out, took, c.firstByte)
	if c.t.config.Ended != nil && out != canceled {
		c.t.config.Ended(End{Failed: !out.fine() && out != clientError, RateLimited: out == rateLimited, Latency: cmp.Or(c.firstByte, took)})
	}
	c.log(out, err, took)
	c.endSpan(out)
}

// outcome sorts the call into one of a few kinds.
func (c *call) outcome(err error) outcome {
	if c.reply != nil {
		return c.reply.outcome()
	}
	if err == nil {
		return byStatus(c.status)
	}
	return c.trouble(err)
}

// trouble sorts a call that failed.
func (c *call) trouble(err error) outcome {
	var busy *BusyError
	var open *OpenError
	var network net.Error
	switch {
	case errors.As(err, &busy):
		return busyOutcome
	case errors.As(err, &open):
		return openOutcome
	case c.gaveUp(err):
		return canceled
	case errors.Is(err, ErrIdle), errors.Is(err, context.DeadlineExceeded):
		return timeout
	case errors.As(err, &network) && network.Timeout():
		return timeout
	default:
		return failed
	}
}

// patience is how long a call lasts at least before the deadline of its caller says something about the provider.
const patience = time.Second

// gaveUp reports whether a call was ended on this side: its caller left, had set a deadline that no provider can be blamed for, or does not
// send the request again.
func (c *call) gaveUp(err error) bool {
	ended := c.ctx.Err()
	return errors.Is(ended, context.Canceled) || errors.Is(err, context.Canceled) ||
		errors.Is(ended, context.DeadlineExceeded) && time.Since(c.start) < patience
}

// log tells of the call: in the line of its request, or in a line of its own. Trouble always has a line of its own, because
// another attempt may follow it.
func (c *call) log(out outcome, err error, took time.Duration) {
	r := record{
		integration: c.t.config.Integration, target: c.t.config.Target, method: c.method, requestID: requestid.From(c.ctx), status: c.status, outcome: out,
		latency: took, firstByte: c.firstByte, try: tryOf(c.ctx),
	}
	if err != nil {
		r.err = withoutURL(err)
	}
	earlier, noted := AttemptOf(c.ctx).note(r)
	tell(c.ctx, c.t.log, earlier)
	level := slog.LevelInfo
	if !out.fine() {
		level = slog.LevelWarn
	} else if noted {
		return
	}
	if c.t.log.Enabled(c.ctx, level) {
		c.t.log.LogAttrs(c.ctx, level, message, r.attrs("")...)
	}
}

// attrs are the attributes of the log; code is the provider's own code of an error, if it is known.
func (r record) attrs(code string) []slog.Attr {
	attrs := make([]slog.Attr, 0, 10) // a call that went well has as many
	attrs = append(attrs,
		slog.String("integration", r.integration), slog.String("method", r.method), slog.Int("status", r.status),
		slog.Bool("success", r.outcome == success), slog.String("outcome", string(r.outcome)), slog.Duration("latency", r.latency),
		slog.Duration("first_byte", r.firstByte))
	if r.target != "" {
		attrs = append(attrs, slog.String("target", r.target))
	}
	if r.try > 0 {
		attrs = append(attrs, slog.Int("attempt", r.try))
	}
	if r.requestID != "" {
		attrs = append(attrs, slog.String("request_id", r.requestID))
	}
	if r.outcome != success {
		attrs = append(attrs, slog.String("error_code", cmp.Or(code, string(r.outcome))))
	}
	if r.err != "" {
		attrs = append(attrs, slog.String("error", r.err))
	}
	return attrs
}
