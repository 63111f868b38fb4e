package allinone

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
)

func TestDoctorCountsConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		connections []database.Connections // of auth, ai and billing
		warns       string
	}{
		"nothing runs":        {[]database.Connections{{Usable: 97}, {Usable: 97}, {Usable: 97}}, ""},
		"two replicas fit":    {[]database.Connections{{Usable: 97, Processes: 2}, {Usable: 97, Processes: 2}, {Usable: 97, Processes: 2}}, ""},
		"three do not":        {[]database.Connections{{Usable: 97, Processes: 3}, {Usable: 97, Processes: 3}, {Usable: 97, Processes: 3}}, "allows 97 connections; 3 replicas of the services may open 135, and other programs have 0"},
		"others use them":     {[]database.Connections{{Usable: 97, Foreign: 53}, {Usable: 97, Foreign: 53}, {Usable: 97, Foreign: 53}}, "may open 45, and other programs have 53 open"},
		"others leave enough": {[]database.Connections{{Usable: 97, Foreign: 52}, {Usable: 97, Foreign: 52}, {Usable: 97, Foreign: 52}}, ""},
		"SQLite":              {[]database.Connections{{}, {}, {}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var all serverUse
			for _, c := range tc.connections {
				all.add(c, database.Config{})
			}
			found := all.findings()
			if tc.warns == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.Equal(t, FindingWarning, found[0].Level)
			require.Contains(t, found[0].What, tc.warns)
		})
	}
}
