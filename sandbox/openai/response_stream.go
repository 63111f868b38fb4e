package openai

import (
	"fmt"
	"iter"
)

// events makes the events of a stream, in OpenAI's order; one delta for each token.
func (m *response) events() iter.Seq2[part, []byte] {
	return func(yield func(part, []byte) bool) {
		w := &responseEvents{yield: yield}
		begin := m.body(false)
		if m.run != nil {
			begin = m.as(phase{status: "queued"})
		}
		w.send(opening, "response.created", `"response":%s`, begin)
		if m.run != nil {
			w.send(opening, "response.queued", `"response":%s`, begin)
		}
		w.send(opening, "response.in_progress", `"response":%s`, m.body(false))
		for i, item := range m.output {
			w.end = opening
			if i == len(m.output)-1 {
				w.end = closing
			}
			w.send(opening, "response.output_item.added", `"output_index":%d,"item":%s`, i, item.body("in_progress", false))
			switch item.kind {
			case "message":
				w.message(i, item)
			case "function_call":
				w.call(i, item)
			}
			w.send(w.end, "response.output_item.done", `"output_index":%d,"item":%s`, i, item.body(m.itemStatus(i), true))
		}
		w.send(last, "response."+m.status, `"response":%s`, m.body(true))
	}
}

// responseEvents numbers the events and sends them until one is not taken.
type responseEvents struct {
	yield    func(part, []byte) bool
	sequence int
	end      part // of the events that end an item
	over     bool
}

func (w *responseEvents) send(at part, kind, format string, args ...any) {
	if w.over {
		return
	}
	event := fmt.Appendf(nil, "event: %s\ndata: {\"type\":%q,\"sequence_number\":%d,", kind, kind, w.sequence)
	event = append(fmt.Appendf(event, format, args...), "}\n\n"...)
	w.sequence++
	w.over = !w.yield(at, event)
}

func (w *responseEvents) message(i int, item outputItem) {
	path := fmt.Sprintf(`"item_id":%q,"output_index":%d,"content_index":0`, item.id, i)
	w.send(opening, "response.content_part.added", `%s,"part":%s`, path, part0(""))
	for token, rest := cutToken(item.text); token != ""; token, rest = cutToken(rest) {
		w.send(delta, "response.output_text.delta", `%s,"delta":%s,"logprobs":[]`, path, quote(token))
	}
	w.send(w.end, "response.output_text.done", `%s,"text":%s,"logprobs":[]`, path, quote(item.text))
	w.send(w.end, "response.content_part.done", `%s,"part":%s`, path, part0(item.text))
}

func (w *responseEvents) call(i int, item outputItem) {
	path := fmt.Sprintf(`"item_id":%q,"output_index":%d`, item.id, i)
	for token, rest := cutToken(item.call.Function.Arguments); token != ""; token, rest = cutToken(rest) {
		w.send(delta, "response.function_call_arguments.delta", `%s,"delta":%s`, path, quote(token))
	}
	w.send(w.end, "response.function_call_arguments.done", `%s,"arguments":%s`, path, quote(item.call.Function.Arguments))
}
