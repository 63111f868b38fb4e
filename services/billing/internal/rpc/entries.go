package rpc

import (
	"context"
	"encoding/base64"
	"regexp"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

const defaultPageSize, maxPageSize = 50, 500

// ListEntries pages through the account's entries, newest first.
func (s *Server) ListEntries(ctx context.Context, r *billingv1.ListEntriesRequest) (*billingv1.ListEntriesResponse, error) {
	claims, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	before, err := readToken(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := min(int(r.GetPageSize()), maxPageSize)
	if size == 0 {
		size = defaultPageSize
	}
	// One more than asked for tells whether there is another page.
	entries, err := s.ledger.Entries(ctx, claims.AccountID, before, size+1)
	if err != nil {
		return nil, err
	}
	out := &billingv1.ListEntriesResponse{}
	if len(entries) > size {
		entries = entries[:size]
		out.NextPageToken = writeToken(entries[size-1].ID)
	}
	for _, e := range entries {
		out.Entries = append(out.Entries, toEntry(e))
	}
	return out, nil
}

// A page token is the id of the last entry seen, behind a mark of its form, so that the form may change.
var tokenPattern = regexp.MustCompile(`^1:(ent_[0-9a-v]{26})$`)

func writeToken(id string) string { return base64.RawURLEncoding.EncodeToString([]byte("1:" + id)) }

func readToken(token string) (id string, err error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if parts := tokenPattern.FindSubmatch(raw); err == nil && parts != nil {
		return string(parts[1]), nil
	}
	return "", invalid("pageToken", "is not a nextPageToken of an earlier answer; leave it empty for the first page")
}
