package clerk_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// TestLastEventMatchesState does many random things, and sees that who only listens knows as much as who asks.
func TestLastEventMatchesState(t *testing.T) {
	for seed := range uint64(3) {
		h := &recorder{}
		s := serve(t, clerk.Config{Emit: h.emit})
		dice := rand.New(rand.NewPCG(seed, 0))
		known := map[string]map[string]any{} // by type of object and identifier
		back := func(method, path, body string) string {
			// What is refused is refused: only the outcome counts.
			_, answer := s.call(t, method, path, "Bearer "+s.SecretKey(), body)
			return answer
		}
		for range 300 {
			user, org := fmt.Sprint("user_", dice.IntN(8)), fmt.Sprint("org_", dice.IntN(3))
			role := []string{"org:admin", "org:member"}[dice.IntN(2)]
			switch dice.IntN(11) {
			case 0, 1:
				_, _ = s.MintToken(t.Context(), clerk.TokenSpec{User: user, Org: org})
			case 2:
				_, _ = s.MintToken(t.Context(), clerk.TokenSpec{User: user})
			case 3:
				back("PATCH", "/v1/users/"+user, fmt.Sprintf(`{"first_name":"N%d"}`, dice.IntN(100)))
			case 4:
				back("POST", "/v1/users/"+user+"/"+[]string{"ban", "unban", "lock", "unlock"}[dice.IntN(4)], "")
			case 5:
				if dice.IntN(4) == 0 {
					back("DELETE", "/v1/users/"+user, "")
				}
			case 6:
				back("PATCH", "/v1/organizations/"+org, fmt.Sprintf(`{"name":"O%d"}`, dice.IntN(100)))
			case 7:
				back("POST", "/v1/organizations/"+org+"/memberships", `{"user_id":"`+user+`","role":"`+role+`"}`)
			case 8:
				back("PATCH", "/v1/organizations/"+org+"/memberships/"+user, `{"role":"`+role+`"}`)
			case 9:
				back("DELETE", "/v1/organizations/"+org+"/memberships/"+user, "")
			case 10:
				back("POST", "/v1/email_addresses", fmt.Sprintf(`{"user_id":"%s","email_address":"%d@example.test","primary":true}`, user, dice.IntN(1000)))
			}
			for _, e := range h.take() {
				o := parse(t, e).Data
				kind, id := o["object"].(string), o["id"].(string)
				if known[kind] == nil {
					known[kind] = map[string]any{}
				}
				known[kind][id] = o
				if o["deleted"] == true || e.Type == "organizationMembership.deleted" {
					delete(known[kind], id)
				}
			}
		}
		users := map[string]any{}
		var list []map[string]any
		require.NoError(t, json.Unmarshal([]byte(back("GET", "/v1/users?limit=500", "")), &list))
		for _, u := range list {
			users[u["id"].(string)] = u
		}
		require.NotEmpty(t, users)
		require.Equal(t, users, known["user"], "seed %d", seed)
		var orgs, members struct {
			Data []map[string]any `json:"data"`
		}
		require.NoError(t, json.Unmarshal([]byte(back("GET", "/v1/organizations?limit=500", "")), &orgs))
		require.Len(t, orgs.Data, len(known["organization"]))
		roles := map[string]any{}
		for _, o := range orgs.Data {
			require.Equal(t, known["organization"][o["id"].(string)], o, "seed %d", seed)
			require.NoError(t, json.Unmarshal([]byte(back("GET", "/v1/organizations/"+o["id"].(string)+"/memberships?limit=500", "")), &members))
			for _, m := range members.Data {
				roles[m["id"].(string)] = m["role"]
			}
		}
		toldRoles := map[string]any{}
		for id, m := range known["organization_membership"] {
			toldRoles[id] = m.(map[string]any)["role"]
		}
		require.Equal(t, roles, toldRoles, "seed %d", seed)
	}
}
