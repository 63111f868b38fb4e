package inbox_test

import (
	"context"
	"io"
)

const childURL = "INBOX_TEST_CHILD_URL"

func child(context.Context, io.Writer) int { return 0 }
