module github.com/trivet-dev/trivet/services/auth

go 1.26.0
