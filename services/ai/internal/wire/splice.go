package wire

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/platform/models"
)

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

// Upstream returns the body to send: as it came, but for at most four places. A name that is not empty takes the place
// of the model's name. A limit above 0 becomes the bound of the
// output, in the field that the caller used, else in the model's, unless the caller's own bound is as low; a stream asks
// for its usage if the model's provider may be asked. A body that needs no edit is returned itself.
func (r *Request) Upstream(limit int64, m models.Model, name string) []byte {
	var room [4]edit
	edits := room[:0]
	if r.Endpoint == ResponsesCompact || r.Endpoint == ResponsesInputTokens || r.Media != nil { // they know no bound
		limit = 0
	}
	if limit > 0 && (r.MaxOutput == 0 && m.OutputBound != models.BoundNone || limit < r.MaxOutput) {
		edits = append(edits, r.boundEdit(limit, r.boundName(m)))
	}
	if r.Stream && !r.AskedUsage && !m.HidesUsage {
		edits = append(edits, r.usageEdit())
	}
	if m.KeepsChats && r.Endpoint == Chat && r.keepsByDefault() {
		edits = append(edits, r.storeEdit())
	}
	if name != "" && name != r.Model {
		written := []byte(name)
		if r.ContentType() == "" {
			written, _ = json.Marshal(name) // a text: it cannot fail
		}
		edits = append(edits, edit{r.model.start, r.model.end, string(written)})
	}
	if len(edits) == 0 {
		return r.body
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	return splice(r.body, edits)
}

// boundName is the field for Trivet's own bound. A completion knows only the old one.
func (r *Request) boundName(m models.Model) string {
	switch r.Endpoint {
	case Completions:
		return models.BoundOld
	case Responses:
		return fieldMaxOutputTokens.name()
	default:
		return m.OutputBound
	}
}

func (r *Request) boundEdit(limit int64, name string) edit {
	number := strconv.FormatInt(limit, 10)
	switch {
	case r.maxName == fieldMaxTokens:
		return edit{r.maxTokens.start, r.maxTokens.end, number}
	case r.maxName == fieldMaxCompletionTokens, r.maxName == fieldMaxOutputTokens:
		return edit{r.maxCompletionTokens.start, r.maxCompletionTokens.end, number}
	case name == models.BoundOld && r.maxTokens.len() > 0: // null
		return edit{r.maxTokens.start, r.maxTokens.end, number}
	case name == models.BoundNew && r.maxCompletionTokens.len() > 0: // null
		return edit{r.maxCompletionTokens.start, r.maxCompletionTokens.end, number}
	default:
		return edit{r.first, r.first, `"` + name + `":` + number + ","}
	}
}

func (r *Request) usageEdit() edit {
	options := r.streamOptions
	switch {
	case options.len() == 0:
		return edit{r.first, r.first, `"stream_options":{"include_usage":true},`}
	case r.includeUsage.len() > 0:
		return edit{r.includeUsage.start, r.includeUsage.end, "true"}
	case r.body[options.start] != '{': // null
		return edit{options.start, options.end, `{"include_usage":true}`}
	case r.emptyOptions():
		return edit{options.start + 1, options.start + 1, `"include_usage":true`}
	default:
		return edit{options.start + 1, options.start + 1, `"include_usage":true,`}
	}
}

// keepsByDefault reports whether a chat leaves it to the provider whether it is kept.
func (r *Request) keepsByDefault() bool {
	return r.store.len() == 0 || r.body[r.store.start] == 'n' // null
}

func (r *Request) storeEdit() edit {
	if r.store.len() > 0 {
		return edit{r.store.start, r.store.end, "false"}
	}
	return edit{r.first, r.first, `"store":false,`}
}

func (r *Request) emptyOptions() bool {
	for _, b := range r.body[r.streamOptions.start+1 : r.streamOptions.end-1] {
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return false
		}
	}
	return true
}

func splice(body []byte, edits []edit) []byte {
	size := len(body)
	for _, e := range edits {
		size += len(e.text) - (e.end - e.start)
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range edits {
		out = append(out, body[at:e.start]...)
		out = append(out, e.text...)
		at = e.end
	}
	return append(out, body[at:]...)
}
