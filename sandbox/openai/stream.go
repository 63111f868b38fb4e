package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

// frame is one event of a stream, ready to send.
type frame struct {
	data []byte
	part part
}

// part is the place of an event in its stream.
type part int

const (
	opening part = iota // the role
	delta               // text or arguments: one token
	closing             // the finish reason, the usage, [DONE]
)

// stream sends the answer as server-sent events, one write and one flush each.
func (f *Fake) stream(w http.ResponseWriter, r *http.Request, req *chatRequest, answer *completion, id string) {
	plan := f.faults.TakeStream(r)
	s := &sender{ctx: r.Context(), w: w, flush: http.NewResponseController(w).Flush, pace: f.Pace(), end: plan.End, stats: &f.stats}
	if req.directives.pace != nil {
		s.pace = *req.directives.pace
	}
	if plan.Pace != nil {
		s.pace = *plan.Pace
	}
	f.stats.streams.Add(1)
	f.stats.prompt.Add(int64(answer.prompt))
	f.stats.completion.Add(int64(answer.reasoning))

	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	s.run(req.frames(answer, id, f.now().Unix()))
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

func (s *sender) run(frames []frame) {
	for _, fr := range frames {
		if s.due(fr.part) && !s.strike() {
			return
		}
		if fr.part == delta && !fault.Sleep(s.ctx, s.pace) {
			panic(http.ErrAbortHandler)
		}
		s.send(fr.data)
		if fr.part == delta {
			s.sent++
			s.stats.chunks.Add(1)
			s.stats.completion.Add(1)
		}
	}
}

func (s *sender) send(data []byte) {
	if _, err := s.w.Write(data); err != nil || s.flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// due tells whether the fault strikes before the next event: when enough deltas have passed, or none is left
// to come. With AfterChunks zero not even the first event is sent.
func (s *sender) due(next part) bool {
	return s.end != nil && (s.sent >= s.end.AfterChunks || next == closing)
}

// strike does what the fault says and reports whether the stream goes on after it.
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
		s.send([]byte("data: " + orElse(f.Body, streamError) + "\n\n"))
		return false
	case fault.EOF:
		return false
	default:
		panic(http.ErrAbortHandler)
	}
}

const streamError = `{"error":{"message":"The server had an error while processing your request. Sorry about that!",` +
	`"type":"server_error","param":null,"code":null}}`

// frames makes the whole stream in advance. The choices are interleaved, one delta each in turn.
func (r *chatRequest) frames(answer *completion, id string, created int64) []frame {
	b := builder{usage: r.StreamOptions != nil && r.StreamOptions.IncludeUsage}
	b.head = fmt.Appendf(nil, `data: {"id":%q,"object":"chat.completion.chunk","created":%d,"model":%q,"service_tier":"default","system_fingerprint":%q,`,
		id, created, r.model.answersAs(), fingerprint)
	deltas := make([][]frame, len(answer.choices))
	for i := range answer.choices {
		c := &answer.choices[i]
		b.role(i, len(c.calls) > 0)
		deltas[i] = b.deltas(i, c)
	}
	for turn := 0; ; turn++ {
		more := false
		for i := range deltas {
			if turn < len(deltas[i]) {
				b.out = append(b.out, deltas[i][turn])
				more = true
			}
		}
		if !more {
			break
		}
	}
	for i := range answer.choices {
		b.add(b.choice(i, `{}`, answer.choices[i].finish), closing)
	}
	if b.usage {
		b.add(b.total(answer.usage()), closing)
	}
	b.add([]byte("data: [DONE]\n\n"), closing)
	return b.out
}

// builder writes the JSON of the events by hand: this is the hot path of benchmarks.
type builder struct {
	head  []byte
	usage bool
	out   []frame
}

func (b *builder) add(data []byte, p part) {
	b.out = append(b.out, frame{data, p})
}

// choice is an event with one choice; an empty finish is null.
func (b *builder) choice(index int, content, finish string) []byte {
	out := make([]byte, 0, len(b.head)+len(content)+96)
	out = append(out, b.head...)
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
	return append(out, "}\n\n"...)
}

func (b *builder) total(u usage) []byte {
	body, err := json.Marshal(u)
	if err != nil { // integers always marshal
		body = []byte("null")
	}
	out := append([]byte(nil), b.head...)
	return fmt.Appendf(out, "\"choices\":[],\"usage\":%s}\n\n", body)
}

func (b *builder) role(index int, calls bool) {
	content := `{"role":"assistant","content":"","refusal":null}`
	if calls {
		content = `{"role":"assistant","content":null}`
	}
	b.add(b.choice(index, content, ""), opening)
}

func (b *builder) deltas(index int, c *choice) []frame {
	out := make([]frame, 0, len(c.pieces))
	for _, piece := range c.pieces {
		out = append(out, frame{b.choice(index, `{"content":`+quoteFast(piece)+`}`, ""), delta})
	}
	for i, call := range c.calls {
		out = append(out, b.call(index, i, call)...)
	}
	return out
}

// call sends identifier and name first, then the arguments token by token.
func (b *builder) call(index, position int, call toolCall) []frame {
	begin := fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":%s,"arguments":""}}]}`,
		position, call.ID, quote(call.Function.Name))
	out := []frame{{b.choice(index, begin, ""), delta}}
	for _, piece := range split(call.Function.Arguments) {
		content := fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, position, quote(piece))
		out = append(out, frame{b.choice(index, content, ""), delta})
	}
	return out
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
