package callid_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/callid"
)

var at = time.Date(2026, 11, 23, 9, 30, 0, 123_000_000, time.UTC)

func TestAnIDCarriesAccountAndTime(t *testing.T) {
	id := callid.Make("org_1", at, 7)
	require.Len(t, id, 31)
	began, ok := callid.Parse(id, "org_1")
	require.True(t, ok)
	require.Equal(t, at, began)
	require.NotEqual(t, id, callid.Make("org_1", at, 8))
	first, second := callid.New("org_1", at), callid.New("org_1", at)
	require.NotEqual(t, first, second)

	for name, bad := range map[string]string{
		"another account": callid.Make("org_2", at, 7), "empty": "", "prefix alone": "call_", "without prefix": strings.TrimPrefix(id, "call_"),
		"short": id[:len(id)-1], "long": id + "0", "other characters": id[:len(id)-1] + "!", "upper case": strings.ToUpper(id), "twice": id + id,
		"spare bits": id[:len(id)-1] + string(id[len(id)-1]+1),
	} {
		_, ok := callid.Parse(bad, "org_1")
		require.False(t, ok, name)
	}
}

func TestIDsGrowWithTime(t *testing.T) {
	var ids []string
	for i := range 100 {
		ids = append(ids, callid.New("org_1", at.Add(time.Duration(i)*time.Hour)))
	}
	require.True(t, slices.IsSorted(ids))
}

// Each call makes an id and reads it several times.
func TestAllocations(t *testing.T) {
	id := callid.New("org_2abcDEFghiJKLmnoPQRstuVWXyz", at)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { id = callid.Make("org_2abcDEFghiJKLmnoPQRstuVWXyz", at, 9) }), 1.0)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = callid.Parse(id, "org_2abcDEFghiJKLmnoPQRstuVWXyz") }))
}
