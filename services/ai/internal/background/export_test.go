package background

import "context"

// Look asks once for the responses that are due.
func Look(ctx context.Context, r *Runner) { _ = r.look(ctx) }
