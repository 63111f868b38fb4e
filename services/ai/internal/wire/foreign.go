package wire

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// foreignNames are the members that name objects at the provider whose owner Trivet does not know.
var foreignNames = [...]string{"file_id", "file_ids", "container", "container_id", "skill_id", "vector_store_id", "vector_store_ids"}

// isForeign reports whether a member has one of those names, however it is written: some providers fold case.
func isForeign(key []byte) bool {
	for _, name := range foreignNames {
		if isNamed(key, name) {
			return true
		}
	}
	return false
}

// isNamed reports whether a member has a name, however it is written.
func isNamed(key []byte, name string) bool {
	return len(key) >= len(name) && bytes.EqualFold(key, []byte(name))
}

// foreign is the refusal of such an object.
func foreign(name string) error { return refuseForeign(name, "Send its content instead") }

// foreignSpeech and foreignVoice are those of an earlier spoken answer and of a voice that somebody has made.
func foreignSpeech(name string) error {
	return refuseForeign(name, "Send its transcript as the content of the message instead")
}

func foreignVoice(name string) error {
	return refuseForeign(name, "Use the name of one of the provider's voices instead")
}

func refuseForeign(name, advice string) error {
	return invalid(name, "names an object at the provider whose owner Trivet does not know. "+advice)
}

// foreignIn passes a value and returns where it names such an object, as in ".mask.file_id"; "" if it names none. The path is
// made only when it is needed: most requests have none.
func foreignIn(c *jsonscan.Cursor) (where string) {
	switch c.Kind() {
	case jsonscan.Array:
		for n := range c.Elements() {
			if found := foreignIn(c); found != "" && where == "" {
				where = "[" + strconv.Itoa(n) + "]" + found
			}
		}
	case jsonscan.Object:
		for key := range c.Members() {
			if found := foreignMember(c, key); found != "" && where == "" {
				where = "." + found
			}
		}
	default:
		c.Skip()
	}
	return where
}

// foreignMember is foreignIn for a member, and returns its name as well. A container that is an object is made for the call.
func foreignMember(c *jsonscan.Cursor, key []byte) (where string) {
	if isForeign(key) && c.Kind() != jsonscan.Null && (c.Kind() != jsonscan.Object || !isNamed(key, "container")) {
		c.Skip()
		return string(key)
	}
	if where = foreignIn(c); where != "" {
		where = string(key) + where
	}
	return where
}

// isForeignField reports whether a text field of a form names such an object, as in "images[0][file_id]". A picture is a file.
func isForeignField(name string) bool {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '[' || r == ']' || r == '.' })
	for i, part := range parts {
		if key := []byte(part); isForeign(key) || i == 0 && (isNamed(key, "image") || isNamed(key, "images") || isNamed(key, "mask")) {
			return true
		}
	}
	return false
}

// takeChatTools passes the tools of a chat. The schema of a function may have any names.
func takeChatTools(c *jsonscan.Cursor) error {
	where := ""
	for n := range c.Elements() {
		for key := range c.Members() {
			switch string(key) {
			case "function", "custom", "parameters":
				c.Skip()
			default:
				if found := foreignMember(c, key); found != "" && where == "" {
					where = "tools[" + strconv.Itoa(n) + "]." + found
				}
			}
		}
	}
	if where != "" {
		return foreign(where)
	}
	return nil
}

// takeOther passes a member that Trivet does not read, and refuses what names such an object.
func takeOther(c *jsonscan.Cursor, key []byte) error {
	switch {
	case isNamed(key, "audio"):
		return takeAudio(c)
	case isForeign(key) && c.Kind() != jsonscan.Null:
		c.Skip()
		return foreign(string(key))
	default:
		c.Skip()
		return nil
	}
}

// takeAudio passes how a chat is to be spoken.
func takeAudio(c *jsonscan.Cursor) (problem error) {
	for key := range c.Members() {
		if isNamed(key, "voice") && c.Kind() == jsonscan.Object {
			problem = foreignVoice("audio.voice.id")
		}
		c.Skip()
	}
	return problem
}
