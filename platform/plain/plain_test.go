package plain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/plain"
)

func TestPrintable(t *testing.T) {
	for _, text := range []string{"", "evt_1", "customer.updated", "gold monthly", "50% off", "a/b\\c?d#e", "ë", "金", "👩‍💻", "العربية"} {
		require.True(t, plain.Printable(text), "%q", text)
	}
	for name, text := range map[string]string{
		"NUL": "a\x00b", "line feed": "a\nb", "escape": "a\x1b[2Jb", "delete": "a\x7fb",
		"C1 next line": "a\u0085b", "C1 control sequence introducer": "a\u009bb", "last of C1": "a\u009fb",
		"left-to-right mark": "a\u200eb", "right-to-left mark": "a\u200fb", "Arabic letter mark": "a\u061cb",
		"first embedding": "a\u202ab", "right-to-left override": "a\u202eb", "first isolate": "a\u2066b", "pop isolate": "a\u2069b",
		"line separator": "a\u2028b", "paragraph separator": "a\u2029b", "byte order mark": "a\ufeffb",
		"invalid UTF-8": "a\xffb",
	} {
		require.False(t, plain.Printable(text), name)
	}
}

func TestTrimmed(t *testing.T) {
	for _, text := range []string{"", "a", "a b"} {
		require.True(t, plain.Trimmed(text), "%q", text)
	}
	for _, text := range []string{" ", " a", "a ", "\ta", "a\n", "\u00a0a", "a\u3000"} {
		require.False(t, plain.Trimmed(text), "%q", text)
	}
}
