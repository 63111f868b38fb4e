package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/auth/internal/members"
)

const (
	// reportInterval is how often changes of members are looked for. The pause doubles with each failure, up to reportRetry.
	reportInterval = 2 * time.Second
	reportRetry    = 15 * time.Second
	// reportTimeout bounds one report.
	reportTimeout = 10 * time.Second
)

// reportMembers tells billing how many members the organizations have, until ctx ends. Of several replicas, one does it at a time.
func (s *Service) reportMembers(deps Deps) func(context.Context) {
	reporter := &members.Reporter{Store: s.store, Send: func(ctx context.Context, r members.Report) error {
		ctx, cancel := context.WithTimeout(ctx, reportTimeout)
		defer cancel()
		_, err := deps.Billing.SetMemberCount(ctx, &billingv1.SetMemberCountRequest{
			OrganizationId: r.OrganizationID, Members: saturate.Int32(r.Members), Sequence: saturate.Int32(r.Sequence), Deleted: r.Deleted,
		}, grpc.WaitForReady(false))
		return err
	}}
	options := job.Options{Renew: true, Alone: s.database.Dialect() == database.SQLite, Now: deps.Now}
	return func(ctx context.Context) {
		for pause := reportInterval; ctx.Err() == nil; {
			err := job.Run(ctx, s.database, "members", options, func(ctx context.Context, h *job.Holder) error { return reporter.Run(ctx, h.Keep) })
			if err != nil && !errors.Is(err, job.ErrBusy) && !errors.Is(err, job.ErrLost) && ctx.Err() == nil {
				deps.Logger.WarnContext(ctx, "reporting the number of members to billing failed; retrying", slog.Any("error", err))
				pause = min(2*pause, reportRetry)
			} else {
				pause = reportInterval
			}
			_ = wait.For(ctx, pause)
		}
	}
}
