// Package jobs is a durable queue: what Submit took is on disk, and it ends
// once, SUCCEEDED or FAILED, whatever is killed meanwhile.
//
// # Promises
//
//   - A job that was accepted is never lost. If the process that runs it dies, it
//     is queued again, and after Options.MaxAttempts such deaths it is FAILED
//     with the reason.
//   - A job runs in one place at a time. Every attempt carries a number that
//     grows; what an attempt writes counts only while it is the newest. A process
//     that cannot renew its lease stops its jobs before others may take them over.
//   - Result and status change in one transaction.
//   - Leases are counted, not dated, and tickets are due by every clock: one that
//     steps, or differs from the database's, neither takes a job away nor holds it
//     back. A ticket that is put off for a second, because its process stops or has
//     lost its lease, may so wait for a minute.
//   - State changes reach a subscriber of Events at least as the last state;
//     progress may be thinned out on the way.
//
// # How
//
//	Submit -> verifily_job + a ticket of River, in one transaction
//	River hands tickets to workers -> claim (attempt number) -> Handler -> result
//	verifily_member: a row a process, with a counter that it raises while it lives
//
// The row in verifily_job is the truth and a ticket is only a wake-up: one that
// is out of date finds nothing to claim and does nothing. So recovery never
// repairs a ticket, it makes a new one.
//
// The database is an SQLite file with one writer, or PostgreSQL, which several
// processes on several machines may share.
package jobs
