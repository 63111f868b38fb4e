package translate

import (
	"encoding/json"

	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// usage is what a chat reports, by the names that a chat has; nil if it reports no number. A chat may report it in several places and events: each
// number is the highest of them.
type usage map[string]int64

// countsOfUsage are the numbers of a usage, and detailsOfUsage the objects with numbers.
var (
	countsOfUsage  = []string{"prompt_tokens", "completion_tokens", "total_tokens"}
	detailsOfUsage = map[string][]string{
		"prompt_tokens_details":     {"cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"},
		"completion_tokens_details": {"reasoning_tokens", "audio_tokens", "image_tokens"},
	}
)

// join adds the numbers of a usage. A number that cannot be a count is left out, as the relay of a chat does.
func (u *usage) join(value json.RawMessage) {
	var members object
	if json.Unmarshal(value, &members) != nil {
		return
	}
	u.take("", members, countsOfUsage)
	for name, numbers := range detailsOfUsage {
		var details object
		_ = json.Unmarshal(members[name], &details) // anything but an object has no details
		u.take(name+".", details, numbers)
	}
}

func (u *usage) take(prefix string, members object, names []string) {
	for _, name := range names {
		if n := wire.Count(members[name]); n >= 0 {
			if *u == nil {
				*u = usage{}
			}
			(*u)[prefix+name] = max((*u)[prefix+name], n)
		}
	}
}

// write writes the usage of a response; null if the chat reports no number.
func (u usage) write() json.RawMessage {
	if u == nil {
		return null
	}
	input, output := u["prompt_tokens"], u["completion_tokens"]
	total := max(u["total_tokens"], input+output) // the parts may come from a later usage
	return write(
		member{"input_tokens", raw(input)}, member{"input_tokens_details", u.details("prompt_tokens_details.", "cached_tokens", "cache_write_tokens")},
		member{"output_tokens", raw(output)}, member{"output_tokens_details", u.details("completion_tokens_details.", "reasoning_tokens")},
		member{"total_tokens", raw(total)},
	)
}

// details writes the numbers that a response always has, and those of tokens that are not text if the chat has them: they
// have prices of their own.
func (u usage) details(prefix string, always ...string) json.RawMessage {
	var members []member
	for _, name := range always {
		members = append(members, member{name, raw(u[prefix+name])})
	}
	for _, name := range []string{"audio_tokens", "image_tokens"} {
		if n, reported := u[prefix+name]; reported {
			members = append(members, member{name, raw(n)})
		}
	}
	return write(members...)
}

// within returns a member of an object; nil for any other value.
func within(value json.RawMessage, name string) json.RawMessage {
	var members object
	if json.Unmarshal(value, &members) != nil {
		return nil
	}
	return members[name]
}
