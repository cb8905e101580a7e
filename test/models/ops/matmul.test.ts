import { describeGradients } from '#test/support/describe-gradients.ts';
import { matmulCases } from './cases/matmul.ts';

describeGradients('matmul', matmulCases);
