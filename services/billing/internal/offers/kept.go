package offers

import (
	"context"
	"time"
)

const (
	// Lease is how long an apply whose process has died keeps others from applying.
	Lease = 45 * time.Second
	// stepTime bounds a call at Stripe. A call begins with at least seven eighths of the lease left, and must not outlive it.
	stepTime = 35 * time.Second
)

// kept renews the lease before each call at Stripe, so that a slow Stripe never lets two processes apply at once.
type kept struct {
	Provider
	keep func(context.Context) error
}

// step makes one call.
func step(ctx context.Context, k kept, call func(ctx context.Context) error) error {
	if err := k.keep(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return call(ctx)
}

func (k kept) Product(ctx context.Context, id string) (p Product, found bool, err error) {
	err = step(ctx, k, func(ctx context.Context) (err error) {
		p, found, err = k.Provider.Product(ctx, id)
		return err
	})
	return p, found, err
}

func (k kept) CreateProduct(ctx context.Context, p Product) error {
	return step(ctx, k, func(ctx context.Context) error { return k.Provider.CreateProduct(ctx, p) })
}

func (k kept) UpdateProduct(ctx context.Context, p Product) error {
	return step(ctx, k, func(ctx context.Context) error { return k.Provider.UpdateProduct(ctx, p) })
}

func (k kept) PricesByKey(ctx context.Context, keys []string) (all []Price, err error) {
	err = step(ctx, k, func(ctx context.Context) (err error) {
		all, err = k.Provider.PricesByKey(ctx, keys)
		return err
	})
	return all, err
}

func (k kept) CreatePrice(ctx context.Context, p Price) (made Price, err error) {
	err = step(ctx, k, func(ctx context.Context) (err error) {
		made, err = k.Provider.CreatePrice(ctx, p)
		return err
	})
	return made, err
}

func (k kept) SetPriceActive(ctx context.Context, id string, active bool) error {
	return step(ctx, k, func(ctx context.Context) error { return k.Provider.SetPriceActive(ctx, id, active) })
}

func (k kept) PortalExists(ctx context.Context, id string) (exists bool, err error) {
	err = step(ctx, k, func(ctx context.Context) (err error) {
		exists, err = k.Provider.PortalExists(ctx, id)
		return err
	})
	return exists, err
}

func (k kept) FindPortal(ctx context.Context) (id string, err error) {
	err = step(ctx, k, func(ctx context.Context) (err error) {
		id, err = k.Provider.FindPortal(ctx)
		return err
	})
	return id, err
}

func (k kept) CreatePortal(ctx context.Context) (id string, err error) {
	err = step(ctx, k, func(ctx context.Context) (err error) {
		id, err = k.Provider.CreatePortal(ctx)
		return err
	})
	return id, err
}
