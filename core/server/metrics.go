package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/verifily/verifily-tui/core"
)

// metrics counts what the server does, in a registry of its own.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	active    prometheus.Gauge
	submitted *prometheus.CounterVec
	decisions *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "verifily_http_requests_total",
			Help: "Requests answered."}, []string{"method", "route", "code"}),
		// A mock retrain takes some milliseconds, a training minutes.
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "verifily_http_request_seconds",
			Help: "Time from the head of a request to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)},
			[]string{"method", "route"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{Name: "verifily_http_requests_active", Help: "Requests being answered."}),
		submitted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "verifily_jobs_submitted_total",
			Help: "Jobs taken by this server."}, []string{"type"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "verifily_retrain_decisions_total",
			Help: "Decisions of retrains that a client waited for."}, []string{"decision"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "verifily_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": core.Version()}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.active, m.submitted, m.decisions, build, queueCollector{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// methods are those that label a request, and that a log names; a client can make up others without
// end.
var methods = map[string]bool{http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodDelete: true, http.MethodPatch: true, http.MethodOptions: true}

// methodOf is the method of a request, or "other" for one that was made up.
func methodOf(r *http.Request) string {
	if methods[r.Method] {
		return r.Method
	}
	return "other"
}

func (m *metrics) observe(c *call, took time.Duration) {
	method := methodOf(c.r)
	m.requests.WithLabelValues(method, c.route, strconv.Itoa(c.w.status)).Inc()
	m.seconds.WithLabelValues(method, c.route).Observe(took.Seconds())
}

func (m *metrics) decided(decision string) { m.decisions.WithLabelValues(decision).Inc() }

// queueCollector asks the queue for its numbers when somebody asks for them.
type queueCollector struct{ s *Server }

var (
	readyDesc = prometheus.NewDesc("verifily_ready", "1 when work can be taken.", nil, nil)
	jobsDesc  = prometheus.NewDesc("verifily_jobs", "Jobs in the database.", []string{"status"}, nil)
	busyDesc  = prometheus.NewDesc("verifily_workers_busy", "Jobs that this process runs.", nil, nil)
	worksDesc = prometheus.NewDesc("verifily_workers", "Jobs that this process may run at once.", nil, nil)
)

func (q queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, jobsDesc, busyDesc, worksDesc} {
		ch <- d
	}
}

func (q queueCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWait)
	defer cancel()
	_, ok := q.s.checks(ctx)
	ready := 0.0
	if ok {
		ready = 1
	}
	send(readyDesc, ready)
	b := q.s.backend.Load()
	if b == nil {
		return
	}
	stats, err := b.Queue.Stats(ctx)
	if err != nil {
		return
	}
	send(jobsDesc, float64(stats.Queued), "QUEUED")
	send(jobsDesc, float64(stats.Running), "RUNNING")
	send(jobsDesc, float64(stats.Succeeded), "SUCCEEDED")
	send(jobsDesc, float64(stats.Failed), "FAILED")
	send(busyDesc, float64(stats.Busy))
	send(worksDesc, float64(stats.Workers))
}

// serveMetrics answers GET /metrics.
func (s *Server) serveMetrics(c *call) (any, error) {
	s.deadline(c)
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(c.w, c.r)
	return written{}, nil
}
