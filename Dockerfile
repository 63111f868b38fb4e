# One image with every program of Trivet; the command chooses: trivet, auth, ai, billing or gateway.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
# Modules first, so that a change of code does not fetch them again.
COPY go.work go.work.sum* go.mod go.sum ./
COPY gen/go.mod gen/go.sum gen/
COPY platform/go.mod platform/go.sum platform/
COPY sandbox/go.mod sandbox/go.sum sandbox/
COPY gateway/go.mod gateway/go.sum gateway/
COPY services/auth/go.mod services/auth/go.sum services/auth/
COPY services/ai/go.mod services/ai/go.sum services/ai/
COPY services/billing/go.mod services/billing/go.sum services/billing/
RUN go mod download
COPY . .
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false
RUN make build && mkdir -p /out/data /out/tmp && cp bin/* /out/

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/trivet /out/auth /out/ai /out/billing /out/gateway /
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/data /keys/private
COPY --from=build --chown=65532:65532 /out/data /keys/shared
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
ENV TRIVET_DATA_DIR=/data
ENTRYPOINT []
CMD ["/trivet", "serve"]
