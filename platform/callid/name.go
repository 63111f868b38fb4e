package callid

// maxName bounds a name in a record, in bytes.
const maxName = 128

// Name returns a name that a caller or a provider gave, such as that of a model, as the record of a call stores it: cut to 128 bytes, and
// "" when it has a space or a character outside of ASCII, because a record has no content.
func Name(text string) string {
	for _, b := range []byte(text) {
		if b <= ' ' || b > '~' {
			return ""
		}
	}
	return text[:min(len(text), maxName)]
}
