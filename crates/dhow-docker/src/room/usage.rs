//! Memory and processors, from what the engine counts.

use bollard::models::{ContainerCpuStats, ContainerMemoryStats};

/// Bytes in use without the file cache that the kernel drops first, as `docker stats` counts them.
pub(super) fn memory(stats: &ContainerMemoryStats) -> Option<u64> {
    let used = stats.usage?;
    let of = |name: &str| stats.stats.as_ref().and_then(|stats| stats.get(name)).copied();
    // Control groups 1 and 2 name it differently.
    let cache = of("total_inactive_file").or_else(|| of("inactive_file")).unwrap_or_default();
    Some(used.saturating_sub(cache))
}

/// Percent of one processor between two counts.
pub(super) fn cpu(before: &ContainerCpuStats, now: &ContainerCpuStats) -> Option<f64> {
    let total = |stats: &ContainerCpuStats| stats.cpu_usage.as_ref()?.total_usage;
    let used = total(now)?.checked_sub(total(before)?)?;
    let passed = now.system_cpu_usage?.checked_sub(before.system_cpu_usage?)?;
    if passed == 0 {
        return None;
    }
    let processors = now.online_cpus.unwrap_or(1).max(1);
    let percent = used as f64 / passed as f64 * f64::from(processors) * 100.0;
    Some((percent * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::ContainerCpuUsage;

    use super::*;

    fn count(total: u64, system: u64) -> ContainerCpuStats {
        ContainerCpuStats {
            cpu_usage: Some(ContainerCpuUsage { total_usage: Some(total), ..Default::default() }),
            system_cpu_usage: Some(system),
            online_cpus: Some(2),
            ..Default::default()
        }
    }

    #[test]
    fn cache_that_can_be_dropped_is_no_memory_in_use() {
        let stats = |name: &str| ContainerMemoryStats {
            usage: Some(100),
            stats: Some(HashMap::from([(name.to_owned(), 30)])),
            ..Default::default()
        };
        assert_eq!(memory(&stats("total_inactive_file")), Some(70));
        assert_eq!(memory(&stats("inactive_file")), Some(70));
        assert_eq!(memory(&ContainerMemoryStats::default()), None);
    }

    #[test]
    fn one_busy_processor_of_two_is_a_hundred_percent() {
        assert_eq!(cpu(&count(0, 0), &count(500, 1_000)), Some(100.0));
        assert_eq!(cpu(&count(0, 0), &count(0, 0)), None);
        // Counted before the first look: what is not known is not told as zero.
        assert_eq!(cpu(&ContainerCpuStats::default(), &count(500, 1_000)), None);
    }
}
