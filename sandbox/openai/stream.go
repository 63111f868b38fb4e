package openai

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

// part is the place of an event in its stream.
type part int

const (
	opening part = iota // the role
	delta               // text or arguments: one token
	closing             // the finish reason, the usage, [DONE]
	last                // the event that ends a stream of the Responses API
)

// stream sends the answer as server-sent events, one write and one flush each.
func (f *Fake) stream(w http.ResponseWriter, r *http.Request, req *chatRequest, answer *completion, id string) {
	f.begin(w, r, req.directives, answer.prompt, answer.reasoning).run(req.events(answer, id, f.now().Unix()))
}

// begin sends the head of a stream, counts what it costs besides its deltas, and returns what sends its events.
func (f *Fake) begin(w http.ResponseWriter, r *http.Request, d directives, prompt, reasoning int) *sender {
	return f.beginAs("text/event-stream; charset=utf-8", w, r, d, prompt, reasoning)
}

// beginAs is begin for a body of another type.
func (f *Fake) beginAs(contentType string, w http.ResponseWriter, r *http.Request, d directives, prompt, reasoning int) *sender {
	plan := f.faults.TakeStream(r)
	s := &sender{ctx: r.Context(), w: w, flush: http.NewResponseController(w).Flush, pace: f.Pace(), end: plan.End, stats: &f.stats}
	if d.pace != nil {
		s.pace = *d.pace
	}
	if plan.Pace != nil {
		s.pace = *plan.Pace
	}
	f.stats.streams.Add(1)
	f.stats.prompt.Add(int64(prompt))
	f.stats.completion.Add(int64(reasoning))

	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	return s
}

// sender writes frames until they end or a fault ends them. When the client leaves, or a fault cuts the connection,
// it panics with [http.ErrAbortHandler], net/http's way to break a connection off.
type sender struct {
	ctx   context.Context
	w     http.ResponseWriter
	flush func() error
	pace  time.Duration
	end   *fault.Fault
	stats *counters
	sent  int // deltas
}

func (s *sender) run(events iter.Seq2[part, []byte]) {
	for at, data := range events {
		if s.due(at) && !s.strike() {
			return
		}
		if at == delta && !fault.Sleep(s.ctx, s.pace) {
			panic(http.ErrAbortHandler)
		}
		s.send(data)
		if at == delta {
			s.sent++
			s.stats.chunks.Add(1)
			s.stats.completion.Add(1)
		}
	}
}

func (s *sender) send(data []byte) {
	if _, err := s.w.Write(data); err != nil || s.flush() != nil { //nolint:gosec // browsers take events for data, not for a page
		panic(http.ErrAbortHandler)
	}
}

// due tells whether the fault strikes before the next event: when enough deltas have passed, or none is left
// to come. With AfterChunks zero not even the first event is sent.
func (s *sender) due(next part) bool {
	return s.end != nil && (s.sent >= s.end.AfterChunks || next >= closing)
}

// strike applies the fault and reports whether the stream continues.
func (s *sender) strike() bool {
	f := s.end
	s.end = nil
	s.send(nil) // with no event sent, the client has yet to see the status
	switch f.Kind {
	case fault.Stall:
		if f.Delay > 0 && fault.Sleep(s.ctx, f.Delay) {
			return true
		}
		<-s.ctx.Done()
		panic(http.ErrAbortHandler)
	case fault.StreamError:
		s.send([]byte("data: " + cmp.Or(f.Body, streamError) + "\n\n"))
		return false
	case fault.EOF:
		return false
	default:
		panic(http.ErrAbortHandler)
	}
}

const streamError = `{"error":{"message":"The server had an error while processing your request. Sorry about that!",` +
	`"type":"server_error","param":null,"code":null}}`

// events makes the events of a stream one by one, each valid until the next is made: a stream whose client does not read
// takes no more memory than its text. The choices are interleaved, one delta each in turn.
func (r *chatRequest) events(answer *completion, id string, created int64) iter.Seq2[part, []byte] {
	b := builder{usage: r.StreamOptions != nil && r.StreamOptions.IncludeUsage}
	b.head = fmt.Appendf(nil, `data: {"id":%q,"object":"chat.completion.chunk","created":%d,"model":%q,"service_tier":"default","system_fingerprint":%q,`,
		id, created, r.model.answersAs(), fingerprint)
	return func(yield func(part, []byte) bool) {
		todo := make([]deltas, len(answer.choices))
		for i := range answer.choices {
			todo[i] = deltas{text: answer.choices[i].text, calls: answer.choices[i].calls}
			if !yield(opening, b.role(i, len(todo[i].calls) > 0)) {
				return
			}
		}
		for more := true; more; {
			more = false
			for i := range todo {
				content, ok := todo[i].next()
				if !ok {
					continue
				}
				more = true
				if !yield(delta, b.choice(i, content, "")) {
					return
				}
			}
		}
		b.close(answer, yield)
	}
}

// deltas cuts a choice into what the events of its stream carry, one token each.
type deltas struct {
	text  string
	calls []toolCall
	call  int    // the one at hand
	begun bool   // its identifier and name are sent
	rest  string // of its arguments
}

// next is the next delta as JSON; false says that there are no more.
func (d *deltas) next() (content string, ok bool) {
	if d.text != "" {
		var token string
		token, d.text = cutToken(d.text)
		return `{"content":` + quoteFast(token) + `}`, true
	}
	for ; d.call < len(d.calls); d.call, d.begun = d.call+1, false {
		if call := &d.calls[d.call]; !d.begun {
			d.begun, d.rest = true, call.Function.Arguments
			return fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":%s,"arguments":""}}]}`,
				d.call, call.ID, quote(call.Function.Name)), true
		}
		if d.rest != "" {
			var token string
			token, d.rest = cutToken(d.rest)
			return fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, d.call, quote(token)), true
		}
	}
	return "", false
}

// builder writes the JSON of the events by hand, into one buffer: this is the hot path of benchmarks.
type builder struct {
	head  []byte
	usage bool
	buf   []byte
}

// close makes the events after the last delta: finish reasons, usage, the end.
func (b *builder) close(answer *completion, yield func(part, []byte) bool) {
	for i := range answer.choices {
		if !yield(closing, b.choice(i, `{}`, answer.choices[i].finish)) {
			return
		}
	}
	if b.usage && !yield(closing, b.total(answer.usage())) {
		return
	}
	yield(closing, []byte("data: [DONE]\n\n"))
}

// choice is an event with one choice; an empty finish is null.
func (b *builder) choice(index int, content, finish string) []byte {
	out := append(b.buf[:0], b.head...)
	out = append(out, `"choices":[{"index":`...)
	out = strconv.AppendInt(out, int64(index), 10)
	out = append(out, `,"delta":`...)
	out = append(out, content...)
	out = append(out, `,"logprobs":null,"finish_reason":`...)
	if finish == "" {
		out = append(out, `null}]`...)
	} else {
		out = append(out, `"`+finish+`"}]`...)
	}
	if b.usage {
		out = append(out, `,"usage":null`...)
	}
	b.buf = append(out, "}\n\n"...)
	return b.buf
}

func (b *builder) total(u usage) []byte {
	body, err := json.Marshal(u)
	if err != nil { // integers always marshal
		body = []byte("null")
	}
	out := append([]byte(nil), b.head...)
	return fmt.Appendf(out, "\"choices\":[],\"usage\":%s}\n\n", body)
}

func (b *builder) role(index int, calls bool) []byte {
	content := `{"role":"assistant","content":"","refusal":null}`
	if calls {
		content = `{"role":"assistant","content":null}`
	}
	return b.choice(index, content, "")
}

// quoteFast is quote without its cost for what nearly every word is.
func quoteFast(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return string(quote(s))
		}
	}
	return `"` + s + `"`
}
