package reqbody

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func nested(open, shut string, n int) string {
	return strings.Repeat(open, n) + "1" + strings.Repeat(shut, n)
}

func TestTooDeep(t *testing.T) {
	brackets := `"` + strings.Repeat("[{", 500) + `"`
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"arrays at the bound":           {nested("[", "]", MaxDepth), false},
		"arrays beyond":                 {nested("[", "]", MaxDepth+1), true},
		"objects at the bound":          {nested(`{"a":`, "}", MaxDepth), false},
		"objects beyond":                {nested(`{"a":`, "}", MaxDepth+1), true},
		"both":                          {nested(`{"a":[`, "]}", MaxDepth/2+1), true},
		"not closed":                    {strings.Repeat("[", 1_000_000), true},
		"wide":                          {"[" + strings.Repeat("{},", 10_000) + "{}]", false},
		"in a text":                     {`[` + brackets + `]`, false},
		"in a key":                      {`{` + brackets + `:1}`, false},
		"after an escaped quote":        {`["\"` + strings.Repeat("[", 500) + `"]`, false},
		"after an escaped backslash":    {`["\\"` + strings.Repeat(",[", MaxDepth+1), true},
		"after escapes of both":         {`["\\\"` + strings.Repeat("[", 500) + `"]`, false},
		"closed more often than opened": {strings.Repeat("]", 500) + strings.Repeat("[", MaxDepth+1), true},
		"a text that does not end":      {`["` + strings.Repeat("[", 500), false},
		"a text that ends escaped":      {strings.Repeat("{", MaxDepth) + `["\`, true},
		"empty":                         {"", false},
		"spaces between":                {strings.Repeat("[ \n", MaxDepth+1), true},
	} {
		require.Equal(t, c.want, tooDeep([]byte(c.body)), name)
	}
}

// The scan agrees with a parser on every JSON text.
func TestTooDeepAgreesWithAParser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var value any = rapid.StringOfN(rapid.RuneFrom([]rune(`"\[]{}a`)), 0, 8, -1).Draw(t, "text")
		levels := rapid.IntRange(MaxDepth-3, MaxDepth+3).Draw(t, "levels")
		for range levels {
			if rapid.Bool().Draw(t, "array") {
				value = []any{value, `]"\`}
			} else {
				value = map[string]any{`k"[{`: value}
			}
		}
		raw, err := json.Marshal(value)
		require.NoError(t, err)
		require.Equal(t, levels > MaxDepth, tooDeep(raw))
	})
}
