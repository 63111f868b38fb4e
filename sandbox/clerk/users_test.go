package clerk_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/user"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

func TestUserLifecycle(t *testing.T) {
	now := newClock()
	s := serve(t, clerk.Config{Now: now.Now})
	users := user.NewClient(s.config)
	emails, public := []string{"Ada@example.test", "countess@example.test"}, json.RawMessage(`{"tier":"gold","deep":{"a":1,"b":2}}`)
	u, err := users.Create(t.Context(), &user.CreateParams{
		EmailAddresses: &emails, FirstName: clerksdk.String("Ada"), LastName: clerksdk.String("Lovelace"), ExternalID: clerksdk.String("ext-1"), PublicMetadata: &public,
	})
	require.NoError(t, err)
	require.Regexp(t, `^user_[0-9A-Za-z]{27}$`, u.ID)
	require.Equal(t, "user", u.Object)
	require.Len(t, u.EmailAddresses, 2)
	require.Equal(t, u.EmailAddresses[0].ID, *u.PrimaryEmailAddressID)
	require.Equal(t, "verified", u.EmailAddresses[0].Verification.Status)
	require.EqualValues(t, 1_700_000_000_000, u.CreatedAt)
	require.JSONEq(t, string(public), string(u.PublicMetadata))

	u, err = users.Update(t.Context(), u.ID, &user.UpdateParams{FirstName: clerksdk.String("Augusta"), PrimaryEmailAddressID: &u.EmailAddresses[1].ID})
	require.NoError(t, err)
	require.Equal(t, "Augusta", *u.FirstName)
	require.Equal(t, "Lovelace", *u.LastName)
	require.Equal(t, u.EmailAddresses[1].ID, *u.PrimaryEmailAddressID)
	require.Greater(t, u.UpdatedAt, u.CreatedAt, "an update is always later, though the clock stands still")

	patch := json.RawMessage(`{"tier":null,"deep":{"b":3}}`)
	u, err = users.UpdateMetadata(t.Context(), u.ID, &user.UpdateMetadataParams{PublicMetadata: &patch})
	require.NoError(t, err)
	require.JSONEq(t, `{"deep":{"a":1,"b":3}}`, string(u.PublicMetadata))
	u, err = users.ReplaceMetadata(t.Context(), u.ID, &user.ReplaceMetadataParams{PrivateMetadata: &patch})
	require.NoError(t, err)
	require.JSONEq(t, string(patch), string(u.PrivateMetadata))

	gone, err := users.Delete(t.Context(), u.ID)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	_, err = users.Get(t.Context(), u.ID)
	require.Equal(t, "resource_not_found", sdkCode(t, err))
	_, err = s.MintToken(t.Context(), clerk.TokenSpec{User: u.ID})
	require.ErrorContains(t, err, "never gives an identifier twice")
	_, err = users.Create(t.Context(), &user.CreateParams{EmailAddresses: &emails})
	require.NoError(t, err, "an address is free again when its user is gone")
}

func TestTakenIdentifiersAreRejected(t *testing.T) {
	s := serve(t, clerk.Config{})
	users := user.NewClient(s.config)
	create := func(email, external, username string) error {
		p := &user.CreateParams{EmailAddresses: &[]string{email}}
		if external != "" {
			p.ExternalID = &external
		}
		if username != "" {
			p.Username = &username
		}
		_, err := users.Create(t.Context(), p)
		return err
	}
	require.NoError(t, create("a@example.test", "one", "ada"))
	require.Equal(t, "form_identifier_exists", sdkCode(t, create("A@example.test", "", "")))
	require.Equal(t, "form_identifier_exists", sdkCode(t, create("b@example.test", "one", "")))
	require.Equal(t, "form_identifier_exists", sdkCode(t, create("b@example.test", "", "ada")))
	require.NoError(t, create("b@example.test", "two", "bob"))
	count, err := users.Count(t.Context(), &user.ListParams{})
	require.NoError(t, err)
	require.EqualValues(t, 2, count.TotalCount)
}

func TestListsAreFilteredOrderedAndPaged(t *testing.T) {
	now := newClock()
	s := serve(t, clerk.Config{Now: now.Now})
	users := user.NewClient(s.config)
	for i := range 25 {
		s.mint(t, clerk.TokenSpec{User: fmt.Sprintf("user-%02d", i), Org: []string{"even", "odd"}[i%2]})
		now.at = now.at.Add(time.Second)
	}
	list := func(p user.ListParams) (ids []string, total int64) {
		got, err := users.List(t.Context(), &p)
		require.NoError(t, err)
		for _, u := range got.Users {
			ids = append(ids, u.ID)
		}
		return ids, got.TotalCount
	}
	ids, total := list(user.ListParams{})
	require.EqualValues(t, 25, total)
	require.Len(t, ids, 10, "Clerk's default page")
	require.Equal(t, "user-24", ids[0], "newest first")

	var all []string
	for offset := int64(0); ; offset += 7 {
		part, _ := list(user.ListParams{ListParams: clerksdk.ListParams{Limit: clerksdk.Int64(7), Offset: &offset}, OrderBy: clerksdk.String("+created_at")})
		if len(part) == 0 {
			break
		}
		all = append(all, part...)
	}
	require.Len(t, all, 25)
	require.Equal(t, "user-00", all[0])
	require.IsIncreasing(t, all)

	ids, total = list(user.ListParams{EmailAddresses: []string{"user-07@example.test", "user-09@example.test"}})
	require.Equal(t, []string{"user-09", "user-07"}, ids)
	require.EqualValues(t, 2, total)
	ids, _ = list(user.ListParams{Query: clerksdk.String("ER-1"), OrderBy: clerksdk.String("email_address")})
	require.Equal(t, "user-10", ids[0])
	ids, _ = list(user.ListParams{UserIDs: []string{"user-03"}})
	require.Equal(t, []string{"user-03"}, ids)
	_, total = list(user.ListParams{OrganizationIDs: []string{"odd"}})
	require.EqualValues(t, 12, total)
	_, total = list(user.ListParams{OrganizationIDs: []string{"-odd"}})
	require.EqualValues(t, 13, total)
	after := newClock().at.Add(20 * time.Second).UnixMilli()
	_, total = list(user.ListParams{CreatedAtAfter: &after})
	require.EqualValues(t, 5, total)
	_, total = list(user.ListParams{Banned: clerksdk.Bool(true)})
	require.Zero(t, total)
}
