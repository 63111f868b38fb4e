package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBurnDown(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	grants := []Grant{
		{ID: "over", Remaining: 100, ExpireTime: now},
		{ID: "soon", Remaining: 10, ExpireTime: now.Add(time.Microsecond)},
		{ID: "late", Remaining: 20, ExpireTime: now.Add(time.Hour)},
		{ID: "never", Remaining: 30, ExpireTime: Never},
	}
	for _, c := range []struct {
		amount, rest int64
		paid         []Burn
	}{
		{0, 0, nil},
		{1, 0, []Burn{{"soon", 1}}},
		{10, 0, []Burn{{"soon", 10}}},
		{11, 0, []Burn{{"soon", 10}, {"late", 1}}},
		{60, 0, []Burn{{"soon", 10}, {"late", 20}, {"never", 30}}},
		{61, 1, []Burn{{"soon", 10}, {"late", 20}, {"never", 30}}},
	} {
		paid, rest := burnDown(grants, c.amount, now)
		require.Equal(t, c.paid, paid, c.amount)
		require.Equal(t, c.rest, rest, c.amount)
	}
}

func TestGiveBack(t *testing.T) {
	paid := []Burn{{"a", 10}, {"b", 20}, {"a", 5}}
	for _, c := range []struct {
		amount      int64
		still, back []Burn
	}{
		{0, []Burn{{"a", 10}, {"b", 20}, {"a", 5}}, nil},
		{4, []Burn{{"a", 10}, {"b", 20}, {"a", 1}}, []Burn{{"a", 4}}},
		{5, []Burn{{"a", 10}, {"b", 20}}, []Burn{{"a", 5}}},
		{26, []Burn{{"a", 9}}, []Burn{{"a", 5}, {"b", 20}, {"a", 1}}},
		{35, []Burn{}, []Burn{{"a", 5}, {"b", 20}, {"a", 10}}},
		{36, []Burn{}, []Burn{{"a", 5}, {"b", 20}, {"a", 10}}},
	} {
		still, back := giveBack(paid, c.amount)
		require.Equal(t, c.still, still, c.amount)
		require.Equal(t, c.back, back, c.amount)
	}
	require.Equal(t, []Burn{{"a", 10}, {"b", 20}, {"a", 5}}, paid, "what it was given stays")
}

func TestPayDebts(t *testing.T) {
	holds := func() []HoldDebt {
		return []HoldDebt{{HoldID: "old", Owed: 10, PaidBy: []Burn{{"g0", 1}}}, {HoldID: "young", Owed: 20}}
	}
	for name, c := range map[string]struct {
		debt     int64
		payments []Burn
		old      []Burn
		changed  []HoldDebt
	}{
		"nothing":               {30, nil, nil, nil},
		"a part of the oldest":  {30, []Burn{{"g1", 4}}, nil, []HoldDebt{{"old", 6, []Burn{{"g0", 1}, {"g1", 4}}}}},
		"the oldest":            {30, []Burn{{"g1", 10}}, nil, []HoldDebt{{"old", 0, []Burn{{"g0", 1}, {"g1", 10}}}}},
		"by two grants":         {30, []Burn{{"g1", 4}, {"g2", 8}}, nil, []HoldDebt{{"old", 0, []Burn{{"g0", 1}, {"g1", 4}, {"g2", 6}}}, {"young", 18, []Burn{{"g2", 2}}}}},
		"all":                   {30, []Burn{{"g1", 30}}, nil, []HoldDebt{{"old", 0, []Burn{{"g0", 1}, {"g1", 10}}}, {"young", 0, []Burn{{"g1", 20}}}}},
		"debt of no hold first": {35, []Burn{{"g1", 4}}, []Burn{{"g1", 4}}, nil},
		"debt of no hold, then the oldest": {
			35, []Burn{{"g1", 4}, {"g2", 3}}, []Burn{{"g1", 4}, {"g2", 1}}, []HoldDebt{{"old", 8, []Burn{{"g0", 1}, {"g2", 2}}}},
		},
	} {
		given := append([]Burn(nil), c.payments...)
		old, changed := payDebts(c.debt, holds(), c.payments)
		require.Equal(t, c.old, old, name)
		require.Equal(t, c.changed, changed, name)
		require.Equal(t, given, c.payments, "what it was given stays")
	}
	old, changed := payDebts(5, nil, []Burn{{"g1", 5}})
	require.Equal(t, []Burn{{"g1", 5}}, old)
	require.Empty(t, changed)
}

// plus stops at the largest number.
func TestPlus(t *testing.T) {
	const most = 1<<63 - 1
	require.EqualValues(t, 3, plus(1, 2))
	require.EqualValues(t, most, plus(most, 0))
	require.EqualValues(t, most, plus(most-1, 1))
	require.EqualValues(t, most, plus(most, 1))
	require.EqualValues(t, most, plus(most, most))
}
