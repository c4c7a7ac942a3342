//! Killed at any instant, Dhow starts again, resumes, and ends where it would have ended.
