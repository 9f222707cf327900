"""What jobs do, a module for each kind; all run below the job's process, ``studio.worker``, which watches them."""
