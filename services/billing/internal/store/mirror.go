package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

var _ mirror.Store = (*Store)(nil)

// emptyObject is the body of an object that there is nothing to say of.
func emptyObject() []byte { return []byte("{}") }

// TakeSequence numbers a fetch of an object; see mirror.Store.
func (s *Store) TakeSequence(ctx context.Context, kind mirror.Kind, id string) (sequence int64, err error) {
	err = s.db.Write(ctx, id, func(ctx context.Context, t database.Tx) (err error) {
		sequence, err = db.New(t).TakeSequence(ctx, db.TakeSequenceParams{Kind: string(kind), ID: id, EmptyObject: emptyObject()})
		return err
	})
	return sequence, err
}

// PutObject writes what a fetch found; see mirror.Store.
func (s *Store) PutObject(ctx context.Context, t database.Tx, o mirror.Object) (written bool, err error) {
	var n int64
	if o.Deleted {
		n, err = db.New(t).BuryObject(ctx, db.BuryObjectParams{
			Kind: string(o.Kind), ID: o.ID, Sequence: o.Sequence, FetchTime: o.FetchTime.UnixMicro(), EmptyObject: emptyObject(),
		})
		return n > 0, err
	}
	n, err = db.New(t).PutObject(ctx, db.PutObjectParams{
		Kind: string(o.Kind), ID: o.ID, Customer: o.Customer, Status: o.Status, Sequence: o.Sequence,
		CreateTime: o.CreateTime.UnixMicro(), FetchTime: o.FetchTime.UnixMicro(), Body: o.Body,
	})
	if err != nil || n == 0 {
		return false, err
	}
	return true, forgetMetadata(ctx, db.New(t), o)
}

// WriteObject is PutObject in a transaction of its own.
func (s *Store) WriteObject(ctx context.Context, o mirror.Object, then mirror.Then) (written bool, err error) {
	err = s.db.Write(ctx, o.ID, func(ctx context.Context, t database.Tx) (err error) {
		if written, err = s.PutObject(ctx, t, o); err != nil || !written || then == nil {
			return err
		}
		return then(ctx, t, o)
	})
	return written, err
}

// AdoptObject writes an object that nobody has begun to fetch; see mirror.Store.
func (s *Store) AdoptObject(ctx context.Context, o mirror.Object, then mirror.Then) (written bool, err error) {
	err = s.db.Write(ctx, o.ID, func(ctx context.Context, t database.Tx) error {
		n, err := db.New(t).AdoptObject(ctx, db.AdoptObjectParams{
			Kind: string(o.Kind), ID: o.ID, Customer: o.Customer, Status: o.Status,
			CreateTime: o.CreateTime.UnixMicro(), FetchTime: o.FetchTime.UnixMicro(), Body: o.Body,
		})
		if written = n > 0; !written || err != nil {
			return err
		}
		o.Sequence = 1
		if err := forgetMetadata(ctx, db.New(t), o); err != nil || then == nil {
			return err
		}
		return then(ctx, t, o)
	})
	return written, err
}

// Object reads an object or its tombstone, or mirror.ErrNotFound.
func (s *Store) Object(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	row, err := s.read.GetObject(ctx, db.GetObjectParams{Kind: string(kind), ID: id})
	if errors.Is(err, sql.ErrNoRows) {
		return mirror.Object{}, mirror.ErrNotFound
	}
	return toObject(row), err
}

// Objects reads living objects of a kind by their ids, after one.
func (s *Store) Objects(ctx context.Context, kind mirror.Kind, after string, limit int) ([]mirror.Object, error) {
	rows, err := s.read.ListObjects(ctx, db.ListObjectsParams{Kind: string(kind), AfterID: after, Most: int64(limit)})
	return toObjects(rows), err
}

// CustomerObjects reads a customer's living objects of a kind by their ids, after one.
func (s *Store) CustomerObjects(ctx context.Context, customer string, kind mirror.Kind, after string, limit int) ([]mirror.Object, error) {
	rows, err := s.read.ListObjectsOfCustomer(ctx, db.ListObjectsOfCustomerParams{
		Customer: customer, Kind: string(kind), AfterID: after, Most: int64(limit),
	})
	return toObjects(rows), err
}

func toObjects(rows []db.StripeObject) []mirror.Object {
	objects := make([]mirror.Object, 0, len(rows))
	for _, row := range rows {
		objects = append(objects, toObject(row))
	}
	return objects
}

func toObject(row db.StripeObject) mirror.Object {
	return mirror.Object{
		Kind: mirror.Kind(row.Kind), ID: row.ID, Customer: row.Customer, Status: row.Status, Deleted: row.Deleted,
		Sequence: row.Sequence, CreateTime: time.UnixMicro(row.CreateTime).UTC(), FetchTime: time.UnixMicro(row.FetchTime).UTC(),
		Body: row.Body,
	}
}
