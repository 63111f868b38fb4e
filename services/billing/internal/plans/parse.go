package plans

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxPrice is the highest flat price that Stripe can charge: $999,999.99.
	maxPrice = 999_999_990_000_000
	// leastPack is the lowest amount that Stripe charges alone: $0.50.
	leastPack = 50 * Cent
	// maxCredit is the maximum of one grant in the ledger: $1,000,000.
	maxCredit = 1_000_000_000_000_000
	// Cent is in nano-dollars. Stripe's flat prices are whole cents.
	Cent = 10_000_000
	// maxFile bounds a plan file, in bytes, and maxEntries its plans and packs.
	maxFile    = 1 << 20
	maxEntries = 200
	// maxName bounds the name of a plan, a pack or a feature, in bytes. CheckEntitlement takes no longer one.
	maxName = 128
)

var (
	idPattern      = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	taxCodePattern = regexp.MustCompile(`^txcd_[0-9]{8}$`)
	// numberPattern leaves out what YAML reads in another base: 0600 is 384.
	numberPattern = regexp.MustCompile(`^(0|[1-9][0-9_]*)$`)
)

// File is the content of a plan file.
type File struct {
	Plans []Plan
	Packs []Pack
}

// Parse reads a plan file. known lists the models that plans may name; nil skips that check. The error joins every mistake, each with
// its line.
func Parse(data []byte, known []string) (File, error) {
	if len(data) > maxFile {
		return File{}, fmt.Errorf("the file has %d bytes, must have at most %d", len(data), maxFile)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return File{}, fmt.Errorf("not a list of plans: %w%s", err, tabs(data))
	}
	r := &reader{known: known}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		r.mistakes = append(r.mistakes, fmt.Errorf("line %d: the file must end before this second document", second.Line))
	} else if !errors.Is(err, io.EOF) {
		r.mistakes = append(r.mistakes, fmt.Errorf("the file must end after one document: %w", err))
	}
	file := r.file(&document)
	if err := errors.Join(r.mistakes...); err != nil {
		return File{}, err
	}
	return file, nil
}

// tabs tells of the first line that begins with a tab; "" for none. The parser's own words do not say that it stumbled over one.
func tabs(data []byte) string {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")) {
			return fmt.Sprintf("; line %d begins with a tab: indent with spaces", i+1)
		}
	}
	return ""
}

// reader reads a file and collects its mistakes.
type reader struct {
	// name is that of the plan or pack that is read.
	name     string
	known    []string
	mistakes []error
}

func (r *reader) wrong(n *yaml.Node, field, format string, args ...any) {
	about := strings.TrimSpace(r.name + " ")
	if about != "" {
		about += ": "
	}
	r.mistakes = append(r.mistakes, fmt.Errorf("line %d: %s%s %s", n.Line, about, field, fmt.Sprintf(format, args...)))
}

func (r *reader) file(document *yaml.Node) (file File) {
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		r.mistakes = append(r.mistakes, errors.New("not a list of plans: the file must be a mapping with \"plans\""))
		return File{}
	}
	root, some := document.Content[0], false
	r.fields("", root, map[string]func(string, *yaml.Node){
		"plans": func(_ string, n *yaml.Node) {
			some = n.Kind == yaml.SequenceNode && len(n.Content) > 0
			file.Plans = list(r, n, "plan", func(p Plan) string { return p.ID }, r.plan)
		},
		"packs": func(_ string, n *yaml.Node) {
			file.Packs = list(r, n, "pack", func(p Pack) string { return p.ID }, r.pack)
		},
	})
	if r.name = ""; !some {
		r.mistakes = append(r.mistakes, errors.New("not a list of plans: \"plans\" is empty"))
	}
	return file
}

// list reads a list of plans or packs. Their ids are unique.
func list[T any](r *reader, n *yaml.Node, kind string, id func(T) string, read func(*yaml.Node) T) []T {
	r.name = ""
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxEntries {
		r.wrong(n, kind+"s", "must be a list of at most %d", maxEntries)
		return nil
	}
	all := make([]T, 0, len(n.Content))
	for i, item := range n.Content {
		item = resolved(item)
		r.name = kind + " " + nameOf(item, i)
		one := read(item)
		if slices.ContainsFunc(all, func(other T) bool { return id(one) != "" && id(other) == id(one) }) {
			r.wrong(item, "id", "is used twice")
		}
		all = append(all, one)
	}
	return all
}

// nameOf returns the name of a plan or pack in messages: its id, or its position in the file.
func nameOf(n *yaml.Node, index int) string {
	var head struct {
		ID string `yaml:"id"`
	}
	if n.Decode(&head) == nil && head.ID != "" {
		return head.ID
	}
	return fmt.Sprintf("number %d", index+1)
}

func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// fields passes every key of a mapping to its reader and returns the keys. Unknown and repeated keys are mistakes.
func (r *reader) fields(prefix string, n *yaml.Node, readers map[string]func(string, *yaml.Node)) []string {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, cmp.Or(strings.TrimSuffix(prefix, "."), "the entry"), "must be a mapping of fields")
		return nil
	}
	seen := []string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		read, ok := readers[key]
		switch {
		case n.Content[i].Kind != yaml.ScalarNode || key == "":
			r.wrong(n.Content[i], prefix+"a field", "has no name")
		case n.Content[i].Tag == "!!merge":
			r.wrong(n.Content[i], prefix+key, "is not supported: write the fields of each entry")
		case !ok:
			r.wrong(n.Content[i], prefix+key, "is unknown%s", r.similar(key, readers))
		case slices.Contains(seen, key):
			r.wrong(n.Content[i], prefix+key, "is set twice")
		default:
			read(prefix+key, resolved(n.Content[i+1]))
		}
		seen = append(seen, key)
	}
	return seen
}

// similar suggests a field for a mistyped one.
func (r *reader) similar(key string, readers map[string]func(string, *yaml.Node)) string {
	var near []string
	for name := range readers {
		if close(key, name) {
			near = append(near, name)
		}
	}
	if len(near) != 1 {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", near[0])
}

// close reports whether one text becomes the other by one inserted, removed, replaced or swapped letter.
func close(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	at := 0
	for at < len(a) && a[at] == b[at] {
		at++
	}
	switch {
	case len(b)-len(a) == 1:
		return a[at:] == b[at+1:]
	case len(a) != len(b) || at == len(a):
		return false
	case a[at+1:] == b[at+1:]:
		return true
	}
	return at+1 < len(a) && a[at] == b[at+1] && a[at+1] == b[at] && a[at+2:] == b[at+2:]
}

func (r *reader) required(n *yaml.Node, seen []string, names ...string) {
	for _, name := range names {
		if seen != nil && !slices.Contains(seen, name) {
			r.wrong(n, name, "is missing")
		}
	}
}
