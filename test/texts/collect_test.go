package texts_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// passage is a piece of prose with its place.
type passage struct {
	file string
	line int
	kind kind
	text string
}

// kind says what a passage is.
type kind string

const (
	literal  kind = "string"  // a string literal in Go: errors, log messages, setting descriptions, command help
	comment  kind = "comment" // a comment in Go, proto or SQL
	testName kind = "test"    // the name of a test, in words
	document kind = "document"
)

// files lists the tracked files that end in one of the suffixes, without generated and foreign ones.
func files(t *testing.T, suffixes ...string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	command.Dir = root
	out, err := command.Output()
	require.NoError(t, err)
	var found []string
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		if foreign(path) {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			continue // deleted, but still in the index
		}
		for _, suffix := range suffixes {
			if strings.HasSuffix(path, suffix) {
				found = append(found, path)
			}
		}
	}
	require.NotEmpty(t, found)
	return found
}

// foreign reports whether a file is generated, copied from elsewhere, frozen (migrations), or lists the banned phrases.
func foreign(path string) bool {
	for _, part := range []string{"gen/", "web/", "test/texts/", "sandbox/clerk/internal/browserfiles/", "/store/db/", "/src/gen/", "/migrations/"} {
		if strings.HasPrefix(path, part) || strings.HasPrefix(part, "/") && strings.Contains(path, part) {
			return true
		}
	}
	return false
}

// goPassages returns the comments and string literals of a Go file, and the names of its tests.
func goPassages(t *testing.T, path string) []passage {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, filepath.Join(root, path), nil, parser.ParseComments)
	require.NoError(t, err)
	var found []passage
	add := func(at token.Pos, k kind, text string) {
		found = append(found, passage{file: path, line: set.Position(at).Line, kind: k, text: text})
	}
	for _, group := range file.Comments {
		add(group.Pos(), comment, oneLine(group.Text()))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
				add(n.Pos(), literal, oneLine(text))
			}
		case *ast.FuncDecl:
			if name, ok := strings.CutPrefix(n.Name.Name, "Test"); ok && strings.HasSuffix(path, "_test.go") {
				add(n.Pos(), testName, words(name))
			}
		}
		return true
	})
	return found
}

// linePassages returns the text after a marker in each line; an empty marker takes whole lines.
func linePassages(t *testing.T, path, marker string, k kind) []passage {
	t.Helper()
	var found []passage
	number := 0
	for line := range strings.Lines(contents(t, path)) {
		number++
		_, text, ok := strings.Cut(line, marker)
		if ok && strings.TrimSpace(text) != "" {
			found = append(found, passage{file: path, line: number, kind: k, text: strings.TrimSpace(text)})
		}
	}
	return found
}

// oneLine joins the lines of a text, because a phrase may be wrapped.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// words splits a name in camel case.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// stringLiterals returns the string literals of a Go file as they are.
func stringLiterals(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, 0)
	require.NoError(t, err)
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				found = append(found, text)
			}
		}
		return true
	})
	return found
}

func contents(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(raw)
}
