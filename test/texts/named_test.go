package texts_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// namedTest is how documents name a test: its folder and its function. More tests of the folder may follow.
var namedTest = regexp.MustCompile("`([a-z0-9/]+)` (`Test[A-Za-z0-9_]+`(?:, `Test[A-Za-z0-9_]+`)*)")

// TestNamedTestsExist: a document that names a test as a proof names one that exists, in the folder that it says.
func TestNamedTestsExist(t *testing.T) {
	declared := map[string]bool{} // by folder and name
	function := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	for _, file := range files(t, "_test.go") {
		source, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		for _, found := range function.FindAllStringSubmatch(string(source), -1) {
			declared[path.Dir(file)+" "+found[1]] = true
		}
	}
	named := map[string]int{}
	for _, file := range files(t, ".md") {
		document, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		for line := range strings.Lines(string(document)) {
			for _, found := range namedTest.FindAllStringSubmatch(line, -1) {
				for name := range strings.SplitSeq(strings.ReplaceAll(found[2], "`", ""), ", ") {
					named[file]++
					if !declared[found[1]+" "+name] {
						t.Errorf("%s names %s in %s, which does not exist", file, name, found[1])
					}
				}
			}
		}
	}
	require.Greater(t, named["docs/errors.md"], 40)
	require.Greater(t, named["docs/decisions.md"], 15)
}
