package csv_test

import (
	stdcsv "encoding/csv"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/csv"
)

func TestCells(t *testing.T) {
	for cell, want := range map[string]string{
		"":                      "",
		"gpt-5-mini":            "gpt-5-mini",
		"0.000016950":           "0.000016950",
		"a,b":                   `"a,b"`,
		`say "hi"`:              `"say ""hi"""`,
		"two\nlines":            "\"two\nlines\"",
		"a;b":                   `"a;b"`,
		" a":                    `" a"`,
		"=1+1":                  "'=1+1",
		"+1":                    "'+1",
		"-1":                    "'-1",
		"@SUM(A1)":              "'@SUM(A1)",
		"\t=1":                  "\"'\t=1\"",
		"\rx":                   "\"'\rx\"",
		" =1":                   "' =1",
		`"=1`:                   `"'""=1"`,
		"\u00a0=1":              "'\u00a0=1",
		"\uff1d1":               "'\uff1d1",
		`=HYPERLINK("//e","x")`: `"'=HYPERLINK(""//e"",""x"")"`,
		"|cmd":                  "'|cmd",
		"user_2abc":             "user_2abc",
	} {
		var out strings.Builder
		w := csv.NewWriter(&out)
		require.NoError(t, w.Row("x", cell, "y"))
		require.NoError(t, w.Flush())
		require.Equal(t, "x,"+want+",y\r\n", out.String())

		read, err := stdcsv.NewReader(strings.NewReader(out.String())).ReadAll()
		require.NoError(t, err)
		require.Len(t, read, 1)
		if got := strings.TrimPrefix(read[0][1], "'"); !strings.Contains(cell, "\r") {
			require.Equal(t, cell, got)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestErrorsOfTheWriterComeBack(t *testing.T) {
	w := csv.NewWriter(full{})
	require.NoError(t, w.Row("in the buffer"))
	require.ErrorIs(t, w.Flush(), errFull)
	require.ErrorIs(t, w.Row("more"), errFull)
}
