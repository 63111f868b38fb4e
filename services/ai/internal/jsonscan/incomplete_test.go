package jsonscan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

func TestIncomplete(t *testing.T) {
	for inside, want := range map[string]bool{
		``: false, ` `: false, `{}`: false, `{}\n`: false, `{\"a\":1} `: false, `{\"a\":{}}`: false, `1`: false, `null`: false,
		`{`: true, `{\"a\":`: true, `{\"a\":{}`: true, `{\n`: true, `{\"a\":\"b\"`: true, `[1`: true, `nul`: true,
	} {
		require.Equal(t, want, jsonscan.Incomplete([]byte(inside)), inside)
	}
}
