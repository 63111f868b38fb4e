package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
)

// maxWhole bounds an answer in one piece, in bytes.
const maxWhole = 16 << 20

// errTooLarge is returned for an answer that is larger than that.
var errTooLarge = errors.New("the answer is too large to translate")

// Answer returns the answer of the Responses API for the body of a chat's answer, in the form in which it comes. A stream
// that the provider breaks off breaks off, too.
func (x *Exchange) Answer(body io.ReadCloser) io.ReadCloser {
	return &reader{exchange: x, source: body, stream: stream{exchange: x, answer: &answer{}, endsWithoutDone: x.endsWithoutDone}}
}

// reader translates while it is read.
type reader struct {
	exchange *Exchange
	source   io.ReadCloser
	pool     sse.Pool
	scanner  *sse.Scanner
	stream   stream
	ready    []byte // translated and not read yet
	err      error  // what follows it
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.scanner == nil {
			r.begin()
		} else {
			r.more(r.scanner.Fill())
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// Close implements io.Closer. It may be called while another goroutine reads, which then gets the source's error; so it leaves alone what Read uses.
func (r *reader) Close() error { return r.source.Close() }

// begin reads until the form of the answer is known.
func (r *reader) begin() {
	start := make([]byte, 0, 512)
	for len(bytes.TrimLeft(start, "\xef\xbb\xbf \t\r\n")) == 0 && len(start) < cap(start) {
		n, err := r.source.Read(start[len(start):cap(start)])
		start = start[:len(start)+n]
		if err != nil {
			r.err = err
			break
		}
	}
	from := io.MultiReader(bytes.NewReader(start), r.source)
	if trimmed := bytes.TrimLeft(start, "\xef\xbb\xbf \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		if r.err == nil || errors.Is(r.err, io.EOF) {
			r.err = nil
			r.scanner = r.pool.Scanner(from)
		}
		return
	}
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(from, maxWhole+1))
	switch {
	case err != nil:
		r.err = err
	case len(body) > maxWhole:
		r.err = errTooLarge
	default:
		r.ready, r.err = r.exchange.whole(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))), io.EOF
	}
}

// more translates the events that one read has brought.
func (r *reader) more(err error) {
	for ev, ok := r.scanner.Next(); ok; ev, ok = r.scanner.Next() {
		r.stream.event(ev.Data)
	}
	if err != nil {
		if ev, ok := r.scanner.Rest(); ok {
			r.stream.event(ev.Data)
		}
		if errors.Is(err, io.EOF) && !r.stream.ended && r.stream.answer.finish != "" && r.stream.endsWithoutDone {
			r.stream.end()
		}
		r.err = err
	}
	r.ready = append(r.ready, r.stream.out...)
	r.stream.out = r.stream.out[:0]
}

// stream makes events of chunks.
type stream struct {
	exchange *Exchange
	answer   *answer
	out      []byte
	sequence int
	begun    bool
	ended    bool
	// endsWithoutDone tells that the end of the body is an orderly end once there is a finish reason.
	endsWithoutDone bool
	open            *item // the text or reasoning that grows
}

// event takes the data of one event of the chat.
func (s *stream) event(data []byte) {
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0 || s.ended:
		return
	case string(data) == "[DONE]":
		s.end()
		return
	}
	var c completion
	if json.Unmarshal(data, &c) != nil {
		if data[0] == '{' { // the reader of the events reports it
			s.out = append(append(append(s.out, "data: "...), data...), "\n\n"...)
		}
		return
	}
	if failed(&c) {
		line := bytes.Buffer{}
		if json.Compact(&line, data) == nil {
			event := line.Bytes()
			if !present(c.Error) { // the reader of the events looks for the envelope
				event = write(member{"error", event})
			}
			s.out = append(append(append(s.out, "data: "...), event...), "\n\n"...)
		}
		return
	}
	s.exchange.learn(s.answer, &c)
	for i := range c.Choices {
		if c.Choices[i].Index != 0 {
			continue
		}
		s.begin()
		s.delta(c.Choices[i].turn(false))
		if reason := textOf(c.Choices[i].FinishReason); reason != "" {
			s.answer.finish = reason
		}
	}
}

// failed reports whether an event is an error, whose members may stand beside its kind.
func failed(c *completion) bool {
	switch string(c.Error) {
	case "", "null", "false", "{}", `""`, "[]":
		return textOf(c.Object) == "error"
	default:
		return true
	}
}

func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	s.exchange.identify(s.answer)
	begun := s.exchange.response(s.answer, false)
	s.write("response.created", member{"response", begun})
	s.write("response.in_progress", member{"response", begun})
}

// end closes what is open and writes the response.
func (s *stream) end() {
	s.begin()
	for _, it := range s.answer.items {
		s.close(it)
	}
	s.ended = true
	status, _ := s.answer.status()
	s.write("response."+status, member{"response", s.exchange.response(s.answer, true)})
}

func (s *stream) delta(d *turn) {
	s.grow(reasoning, d.thoughts)
	s.grow(text, d.words)
	s.grow(refusal, d.refusal)
	for i := range d.calls {
		s.call(&d.calls[i])
	}
}

// grow adds to a text.
func (s *stream) grow(k kind, more []byte) {
	if len(more) == 0 {
		return
	}
	if s.open == nil || s.open.kind != k || s.open.closed {
		s.closeOpen()
		s.open = s.answer.open(k, 0)
		s.write("response.output_item.added", s.at(s.open), member{"item", s.open.write(s.answer, false)})
		s.write("response.content_part.added", append(s.path(s.open), member{"part", s.open.part(false)})...)
	}
	s.open.body = append(s.open.body, more...)
	members := append(s.path(s.open), member{"delta", append(append([]byte{'"'}, more...), '"')})
	if k == text {
		members = append(members, member{"logprobs", empty})
	}
	s.write(eventOf(k)+".delta", members...)
}

func eventOf(k kind) string {
	switch k {
	case reasoning:
		return "response.reasoning_text"
	case refusal:
		return "response.refusal"
	case function:
		return "response.function_call_arguments"
	default:
		return "response.output_text"
	}
}

func (s *stream) closeOpen() {
	if s.open != nil {
		s.close(s.open)
		s.open = nil
	}
}

// call adds a part of a call.
func (s *stream) call(c *toolCall) {
	it := s.callOf(c)
	if it == nil {
		for _, earlier := range s.answer.items { // calls come one after another
			s.close(earlier)
		}
		s.open = nil
		index := 0
		if c.Index != nil {
			index = int(*c.Index)
		} else {
			for _, other := range s.answer.items {
				if other.kind == function {
					index = max(index, other.tool+1)
				}
			}
		}
		it = s.answer.open(function, index)
		it.add(&toolCall{ID: c.ID, Function: called{Name: c.Function.Name}})
		it.identify(s.answer)
		s.write("response.output_item.added", s.at(it), member{"item", it.write(s.answer, false)})
	}
	more := argumentsOf(c.Function.Arguments)
	if len(more) == 0 {
		return
	}
	it.body = append(it.body, more...)
	s.write("response.function_call_arguments.delta", s.id(it), s.at(it), member{"delta", append(append([]byte{'"'}, more...), '"')})
}

// callOf finds the call that a part continues: by its index; without one by its id; without either it is the last, if the part has no name, or
// repeats the name of a call whose arguments are incomplete.
func (s *stream) callOf(c *toolCall) *item {
	var last *item
	for _, it := range s.answer.items {
		if it.kind != function {
			continue
		}
		if c.Index != nil && it.tool == int(*c.Index) || c.Index == nil && len(insideOf(c.ID)) > 0 && bytes.Equal(it.call, c.ID) {
			return it
		}
		last = it
	}
	if last == nil || c.Index != nil || len(insideOf(c.ID)) > 0 {
		return nil
	}
	if name := insideOf(c.Function.Name); len(name) == 0 || bytes.Equal(name, insideOf(last.name)) && jsonscan.Incomplete(last.body) {
		return last
	}
	return nil
}

// close ends an item.
func (s *stream) close(it *item) {
	if it.closed {
		return
	}
	it.closed = true
	if it.kind == function {
		s.write("response.function_call_arguments.done", s.id(it), member{"name", it.name}, s.at(it), member{"arguments", it.quoted(true)})
	} else {
		key := map[kind]string{reasoning: "text", text: "text", refusal: "refusal"}[it.kind]
		members := append(s.path(it), member{key, it.quoted(true)})
		if it.kind == text {
			members = append(members, member{"logprobs", empty})
		}
		s.write(eventOf(it.kind)+".done", members...)
		s.write("response.content_part.done", append(s.path(it), member{"part", it.part(true)})...)
	}
	s.write("response.output_item.done", s.at(it), member{"item", it.write(s.answer, true)})
}

func (s *stream) id(it *item) member { return member{"item_id", it.id(s.answer)} }

func (s *stream) at(it *item) member { return member{"output_index", raw(it.index)} }

func (s *stream) path(it *item) []member {
	return []member{s.id(it), s.at(it), {"content_index", raw(0)}}
}

func (s *stream) write(kind string, members ...member) {
	all := append([]member{{"type", raw(kind)}, {"sequence_number", raw(s.sequence)}}, members...)
	s.sequence++
	s.out = append(s.out, "event: "+kind+"\ndata: "...)
	s.out = append(append(s.out, write(all...)...), "\n\n"...)
}
