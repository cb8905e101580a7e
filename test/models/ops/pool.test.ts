import { describeGradients } from '#test/support/describe-gradients.ts';
import { poolCases } from './cases/pool.ts';

describeGradients('pool', poolCases);
