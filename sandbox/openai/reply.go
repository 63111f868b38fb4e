package openai

import (
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// maxReplyTokens bounds a reply, in tokens, whatever a directive asks for.
	maxReplyTokens = 128_000
	// maxEcho bounds the echo of the user's message, in words.
	maxEcho = 16
	// maxEchoWord bounds each of its words, in characters.
	maxEchoWord = 32
)

// vocabulary is common English words; with the space before it, each is one token of o200k_base and cl100k_base.
var vocabulary = strings.Fields("the a of and to in is that it was for on are as with they at be this from have or by one had not but what all were " +
	"when we there can an your which their said if do will each about how up out them then she many some so these would other into " +
	"has more her two like him see time could no make than first been its who now people my made over did down only way find use may " +
	"water long little very after called just where most know get through back much before go good new write our used me man too any " +
	"day same right look think also around another came come work three word must because does part even place well such here take why " +
	"things help put years different away again off went old number great tell men say small every found still between name should home " +
	"big give air line set own under read last never us left end along while might next sound below saw something thought both few those")

// directives steer one reply. They stand in a user message: "[sandbox tokens=100 pace=0 cached=64 reasoning=32]".
type directives struct {
	tokens    *int           // length of the reply
	pace      *time.Duration // time before each delta, given in ms
	cached    int            // prompt tokens reported as cached
	reasoning *int           // reasoning tokens
}

var directivePattern = regexp.MustCompile(`\[sandbox((?: [a-z]+=\d{1,6})+)\]`)

// parseDirectives reads the last directive of the prompt. Unknown names in it are ignored.
func parseDirectives(messages []message) directives {
	var d directives
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role != "user" {
			continue
		}
		found := directivePattern.FindStringSubmatch(messages[i].text)
		if found == nil {
			continue
		}
		for field := range strings.FieldsSeq(found[1]) {
			d.set(field)
		}
		return d
	}
	return d
}

func (d *directives) set(field string) {
	name, value, _ := strings.Cut(field, "=")
	n, err := strconv.Atoi(value)
	if err != nil {
		return
	}
	switch name {
	case "tokens":
		d.tokens = &n
	case "pace":
		pace := time.Duration(n) * time.Millisecond
		d.pace = &pace
	case "cached":
		d.cached = n
	case "reasoning":
		d.reasoning = &n
	}
}

// seedOf depends on what the model would see, and on nothing else: not on the form of the JSON, the limits of
// the output or whether it is streamed.
func (r *chatRequest) seedOf() uint64 {
	h := fnv.New64a()
	put := func(s string) {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	put(r.model.id)
	for i := range r.Messages {
		put(r.Messages[i].Role)
		put(r.Messages[i].text)
	}
	if r.Seed != nil {
		put(strconv.FormatInt(*r.Seed, 10))
	}
	return h.Sum64()
}

// generator makes the same words from the same seed (splitmix64).
type generator uint64

func (g *generator) next() uint64 {
	*g += 0x9e3779b97f4a7c15
	z := uint64(*g)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// compose makes a text of n words, or of a few more than the opening when n is zero.
func compose(opening []string, seed uint64, n int) string {
	g := generator(seed)
	if n == 0 {
		n = len(opening) + 4 + int(g.next()%16)
	}
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		if i < len(opening) {
			b.WriteString(opening[i])
		} else {
			b.WriteString(vocabulary[g.next()%uint64(len(vocabulary))])
		}
	}
	return b.String()
}

// opening echoes what was said last: "You said hello and", or "The tool said 21 and".
func (r *chatRequest) opening() []string {
	out := make([]string, 0, 64)
	heard := directivePattern.ReplaceAllString(r.lastText(), "")
	if last := r.Messages[len(r.Messages)-1]; last.Role == "tool" {
		out, heard = append(out, "The", "tool", "said"), last.text
	} else {
		out = append(out, "You", "said")
	}
	return append(echo(out, heard), "and")
}

func echo(out []string, heard string) []string {
	for word := range strings.FieldsSeq(heard) {
		if len(out) == maxEcho {
			break
		}
		out = append(out, shorten(word))
	}
	return out
}

func shorten(word string) string {
	n := 0
	for i := range word {
		if n == maxEchoWord {
			return word[:i]
		}
		n++
	}
	return word
}

// cutToken cuts the first token off a text: a word with the white space before it, or white space at the end. Joined, the
// tokens are the text.
func cutToken(text string) (token, rest string) {
	inWord := false
	for i, c := range text {
		space := unicode.IsSpace(c)
		if space && inWord {
			return text[:i], text[i:]
		}
		inWord = !space
	}
	return text, ""
}
